// The limit of what lies on the disk, no peer: as many bytes written through io_uring, O_DIRECT, and read back at
// random.
//
// 1 MiB a request, kDepth requests under way, into one file whose space is allocated before.
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include "team.hpp"

#include "task.hpp"

namespace {

constexpr std::size_t kRequestBytes = std::size_t{1} << 20;
constexpr unsigned kDepth = 8;

using compare::fail;
using compare::fail_by_errno;

class File {
public:
    explicit File(const compare::Task& task)
        : requests_(task.payload_bytes() / kRequestBytes),
          memory_(static_cast<char*>(std::aligned_alloc(4096, kDepth * kRequestBytes)), &std::free) {
        const std::string path = task.folder + "/raw";
        descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
        if (descriptor_ < 0) fail_by_errno(path);
        if (::fallocate(descriptor_, 0, 0, static_cast<off_t>(requests_ * kRequestBytes)) != 0) fail_by_errno(path);
        if (::io_uring_queue_init(kDepth, &ring_, 0) != 0) fail("this kernel or sandbox has no io_uring");
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        ::io_uring_queue_exit(&ring_);
        ::close(descriptor_);
    }

    // Each request holds its own number in every page.
    compare::Timing write() {
        return all([&](io_uring_sqe* entry, unsigned place, std::uint64_t number) {
            char* bytes = memory_.get() + place * kRequestBytes;
            for (std::size_t page = 0; page < kRequestBytes; page += 4096) {
                std::memcpy(bytes + page, &number, sizeof number);
            }
            ::io_uring_prep_write(entry, descriptor_, bytes, kRequestBytes, number * kRequestBytes);
        });
    }
    compare::Timing read() {
        bench::Random random(7);
        const auto below = static_cast<std::uint32_t>(requests_);
        return all([&](io_uring_sqe* entry, unsigned place, std::uint64_t) {
            ::io_uring_prep_read(entry, descriptor_, memory_.get() + place * kRequestBytes, kRequestBytes,
                                 std::uint64_t{random.below(below)} * kRequestBytes);
        });
    }
    // Whether the file holds what was written.
    std::string check() {
        for (std::uint64_t number = 0; number < requests_; ++number) {
            const auto at = static_cast<off_t>(number * kRequestBytes);
            if (::pread(descriptor_, memory_.get(), kRequestBytes, at) != static_cast<ssize_t>(kRequestBytes)) {
                return "a read is short";
            }
            for (std::size_t page = 0; page < kRequestBytes; page += 4096) {
                if (std::memcmp(memory_.get() + page, &number, sizeof number) != 0)
                    return "a page is not as written";
            }
        }
        return {};
    }

private:
    template <class Prepare>
    compare::Timing all(const Prepare& prepare) {
        compare::Timing timing;
        const double cpu = compare::cpu_seconds();
        const double start = bench::now_seconds();
        std::uint64_t begun = 0;
        const auto begin = [&](unsigned place) {
            io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
            prepare(entry, place, begun++);
            entry->user_data = place;
            ::io_uring_submit(&ring_);
        };
        for (unsigned place = 0; place < kDepth && begun < requests_; ++place) begin(place);
        while (timing.operations < requests_) {
            io_uring_cqe* done = nullptr;
            if (::io_uring_wait_cqe(&ring_, &done) != 0 || done->res != static_cast<int>(kRequestBytes)) {
                fail("a request failed or was short");
            }
            const auto place = static_cast<unsigned>(done->user_data);
            ::io_uring_cqe_seen(&ring_, done);
            ++timing.operations;
            if (begun < requests_) begin(place);
        }
        timing.seconds = bench::now_seconds() - start;
        timing.cpu_seconds = compare::cpu_seconds() - cpu;
        timing.bytes = timing.operations * kRequestBytes;
        return timing;
    }

    std::uint64_t requests_;
    std::unique_ptr<char, decltype(&std::free)> memory_;
    int descriptor_ = -1;
    io_uring ring_{};
};

}  // namespace

int main(int argc, char** argv) {
    const compare::Task task = compare::parse_task(argc, argv);
    compare::Outcome outcome;
    outcome.version = "the kernel's";
    outcome.settings = {{"request", "1 MiB, O_DIRECT"}, {"under way", std::to_string(kDepth)}};
    try {
        File file(task);
        outcome.timings.emplace_back("append", file.write());
        outcome.error = file.check();
        outcome.timings.emplace_back("get", file.read());
    } catch (const std::exception& failure) {
        outcome.error = failure.what();
    }
    compare::print(outcome);
    return outcome.error.empty() ? 0 : 1;
}
