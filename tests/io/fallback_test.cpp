// Where io_uring is not to be had, from the start or later, threads do the same; and where threads cannot start,
// the queue does it itself.
#include <sched.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "io/scratch.hpp"
#include "refused_calls.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"

using namespace shoal_test;

namespace {

bool is_asleep(pid_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return text.find(") S ") != std::string::npos;
}

std::string write_and_read(IoQueue& queue, std::uint64_t seed) {
    const ScratchFile file;
    constexpr std::size_t kPart = 10'000;
    std::string written = noise(50 * kPart, seed);
    std::string read(written.size(), '?');
    for (std::size_t i = 0; i < 50; ++i)
        submit(queue, kWrite, file.get(), i * kPart, piece_of(written, i * kPart, kPart));
    for (const auto& [tag, done] : wait_for_all(queue)) EXPECT(done.error == 0);
    for (std::size_t i = 0; i < 50; ++i)
        submit(queue, kRead, file.get(), i * kPart, piece_of(read, i * kPart, kPart));
    for (const auto& [tag, done] : wait_for_all(queue)) EXPECT(done.error == 0);
    EXPECT(read == written);
    return {};
}

}  // namespace

TEST_CASE("A sandbox that refuses io_uring gets threads, and is told which call was refused and how", "[process]") {
    const auto [call, error, text] = GENERATE(table<long, unsigned, std::string>({
        {SYS_io_uring_setup, EPERM, "threads: io_uring_setup: Operation not permitted"},
        {SYS_io_uring_setup, ENOSYS, "threads: io_uring_setup: Function not implemented"},
        {SYS_io_uring_setup, ENOMEM, "threads: io_uring_setup: Cannot allocate memory"},
        {SYS_io_uring_enter, EPERM, "threads: io_uring_enter: Operation not permitted"},
        {SYS_io_uring_register, EPERM,
         "threads: io_uring_register: it cannot be asked, or has no IORING_OP_READ (Linux 5.6)"},
    }));
    const auto refused = call;
    const auto with = error;
    const std::string expected = text;
    CHECK(Child::run([&]() -> std::string {
              EXPECT(refuse_call(refused, with));
              IoQueue queue = IoQueue::make(8);
              EXPECT(queue.engine() == IoEngine::kThreads);
              if (queue.why() != expected) return queue.why();
              return write_and_read(queue, 1);
          }) == "");
}

TEST_CASE("A queue whose ring is refused later goes on by threads, with what it was given before", "[process]") {
    QUEUE_OR_SKIP(probe, 1, IoEngine::kRing);
    CHECK(Child::run([]() -> std::string {
              IoQueue queue = IoQueue::make(8);
              EXPECT(queue.engine() == IoEngine::kRing);
              if (std::string wrong = write_and_read(queue, 1); !wrong.empty()) return wrong;
              const ScratchFile file;
              std::string handed_over = noise(1'000'000, 2);
              std::string queued = noise(1'000'000, 3);
              submit(queue, kWrite, file.get(), 0, piece_of(handed_over), 1);
              queue.flush();
              submit(queue, kWrite, file.get(), handed_over.size(), piece_of(queued), 2);
              EXPECT(refuse_call(SYS_io_uring_enter, EPERM));
              const auto done = wait_for_all(queue);
              EXPECT(done.at(1).error == 0);
              EXPECT(done.at(2).error == 0);
              EXPECT(file.content() == handed_over + queued);
              EXPECT(queue.engine() == IoEngine::kThreads);
              EXPECT(queue.why() == "threads: io_uring_enter: Operation not permitted");
              return write_and_read(queue, 4);
          }) == "");
}

TEST_CASE("What the kernel had taken before it refused the ring is waited for, asleep", "[process]") {
    QUEUE_OR_SKIP(probe, 1, IoEngine::kRing);
    CHECK(Child::run([]() -> std::string {
              int ends[2];
              EXPECT(::pipe(ends) == 0);
              IoQueue queue = IoQueue::make(2);
              std::string read(5, '?');
              submit(queue, kRead, ends[0], 0, piece_of(read), 1);
              queue.flush();
              const pid_t waiting = ::gettid();
              std::thread writer([&] {
                  while (!is_asleep(waiting)) ::sched_yield();
                  (void)!::write(ends[1], "bytes", 5);
              });
              const bool refused = refuse_call(SYS_io_uring_enter, EPERM);
              const auto done = queue.wait();
              writer.join();
              EXPECT(refused);
              EXPECT(done.has_value() && done->error == 0 && done->bytes == 5);
              EXPECT(read == "bytes");
              return {};
          }) == "");
}

TEST_CASE("Without io_uring and without threads the queue does it itself", "[process]") {
    CHECK(Child::run([]() -> std::string {
              EXPECT(refuse_call(SYS_clone3, EAGAIN));
              EXPECT(refuse_call(SYS_clone, EAGAIN));
              IoQueue queue = IoQueue::make(8, IoEngine::kThreads);
              EXPECT(queue.why() == "threads: as asked for");
              return write_and_read(queue, 1);
          }) == "");
}
