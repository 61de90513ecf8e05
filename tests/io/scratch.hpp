// What tests of the I/O room share: a file to read and write, its content, requests in a line, and both engines.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "io/queue.hpp"
#include "store/temporary_store.hpp"

namespace shoal_test {

using shoal::IoDone;
using shoal::IoEngine;
using shoal::IoQueue;
using shoal::IoRequest;

class ScratchFile {
public:
    explicit ScratchFile(int flags = 0) : ScratchFile(std::filesystem::temp_directory_path().string(), flags) {}
    ScratchFile(const std::string& folder, int flags)
        : directory_(folder),
          file_(::open((directory_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600)) {}
    ScratchFile(const ScratchFile&) = delete;
    ScratchFile& operator=(const ScratchFile&) = delete;
    ~ScratchFile() { ::close(file_); }

    int get() const { return file_; }  // -1 where the flags are not to be had
    std::uint64_t size() const {
        struct stat status {};
        ::fstat(file_, &status);
        return static_cast<std::uint64_t>(status.st_size);
    }
    std::string content() const {
        const int file = ::open((directory_ / "file").c_str(), O_RDONLY | O_CLOEXEC);
        std::string bytes(size(), '\0');
        std::size_t got = 0;
        for (ssize_t part = 1; part > 0 && got < bytes.size(); got += static_cast<std::size_t>(part))
            part = ::pread(file, bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
        ::close(file);
        bytes.resize(got);
        return bytes;
    }
    void fill(const std::string& bytes) const {
        if (::pwrite(file_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
    }

private:
    TemporaryDirectory directory_;
    int file_;
};

// Bytes that differ from place to place and from seed to seed.
inline std::string noise(std::size_t bytes, std::uint64_t seed) {
    std::string text(bytes, '\0');
    std::uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
    for (char& byte : text) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<char>(state >> 56U);
    }
    return text;
}

inline iovec piece_of(std::string& bytes, std::size_t from = 0, std::size_t size = std::string::npos) {
    return {bytes.data() + from, std::min(size, bytes.size() - from)};
}

// Memory for files opened O_DIRECT.
struct Aligned {
    explicit Aligned(std::size_t bytes) : size(bytes), data(static_cast<char*>(std::aligned_alloc(4096, bytes))) {}
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    ~Aligned() { std::free(data); }
    std::size_t size;
    char* data;
};

// A request of one piece, which is copied by submit().
inline void submit(IoQueue& queue, IoRequest::Kind kind, int file, std::uint64_t offset, iovec piece,
                   std::uint64_t tag = 0) {
    queue.submit({kind, file, offset, {&piece, 1}, tag});
}
inline constexpr auto kRead = IoRequest::Kind::kRead;
inline constexpr auto kWrite = IoRequest::Kind::kWrite;

inline std::map<std::uint64_t, IoDone> wait_for_all(IoQueue& queue) {
    std::map<std::uint64_t, IoDone> done;
    while (const auto one = queue.wait()) done[one->tag] = *one;
    return done;
}

}  // namespace shoal_test

// A queue of one engine, or a skip where the kernel has no io_uring for us.
#define QUEUE_OR_SKIP(queue, depth, wanted)                     \
    shoal::IoQueue queue = shoal::IoQueue::make(depth, wanted); \
    if (queue.engine() != (wanted)) SHOAL_SKIP("no io_uring: " << queue.why())
