// SharedFile: a file on the tmpfs under test that has no name, and a mapping of it.
//
// It is unlinked when it is made, so a bench that is killed leaves nothing in /dev/shm. Forked workers inherit
// the descriptor and map it anew where they need a mapping that no page table knows yet. A failure to make it
// ends the bench: there is nothing to measure then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bench {

// Where arenas and limits lie: SHOAL_BENCH_DIR, else /dev/shm. A mount with huge pages is measured by naming it.
inline std::string arena_dir() {
    const char* dir = std::getenv("SHOAL_BENCH_DIR");
    return dir != nullptr ? dir : "/dev/shm";
}

[[noreturn]] inline void die(const char* what) {
    std::perror(what);
    std::_Exit(2);
}

class Mapping {
public:
    // At an address that is a multiple of 2 MiB: fault-around maps aligned windows of the address space, so that a
    // mapping that begins elsewhere has its pages mapped past the place that was read.
    Mapping(int descriptor, std::size_t bytes) : bytes_(bytes) {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t whole = (bytes + page - 1) / page * page;
        void* room =
            ::mmap(nullptr, whole + kAlignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) die("bench: mmap");
        const std::size_t before = kAlignment - reinterpret_cast<std::uintptr_t>(room) % kAlignment;
        data_ = static_cast<std::byte*>(room) + before;
        ::munmap(room, before);
        if (before < kAlignment) ::munmap(data_ + whole, kAlignment - before);
        if (::mmap(data_, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
            die("bench: mmap");
        }
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() { ::munmap(data_, bytes_); }
    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return bytes_; }

private:
    static constexpr std::size_t kAlignment = std::size_t{2} << 20;

    std::byte* data_ = nullptr;
    std::size_t bytes_ = 0;
};

class SharedFile {
public:
    explicit SharedFile(std::size_t bytes) : bytes_(bytes) {
        std::string path = arena_dir() + "/shoal-bench-XXXXXX";
        descriptor_ = ::mkstemp(path.data());
        if (descriptor_ < 0) die(path.c_str());
        ::unlink(path.c_str());
        if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) die("bench: ftruncate");
    }
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;
    ~SharedFile() { ::close(descriptor_); }

    [[nodiscard]] int descriptor() const { return descriptor_; }
    [[nodiscard]] std::size_t size() const { return bytes_; }
    void allocate(std::size_t from, std::size_t bytes) const {
        if (::fallocate(descriptor_, 0, static_cast<off_t>(from), static_cast<off_t>(bytes)) != 0) {
            die("bench: fallocate");
        }
    }

private:
    int descriptor_ = -1;
    std::size_t bytes_ = 0;
};

}  // namespace bench
