// A queue that finds no memory in its process loses nothing of what it was given.
#include <sys/syscall.h>

#include <cerrno>
#include <optional>
#include <string>

#include "failing_allocations.hpp"
#include "io/scratch.hpp"
#include "refused_calls.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"

using namespace shoal_test;

namespace {

constexpr std::size_t kParts = 8;
constexpr std::size_t kPartBytes = 100'000;

// Some of it handed over to the ring, and some queued there.
void submit_all(IoQueue& queue, int file, std::string& bytes) {
    for (std::size_t part = 0; part < kParts; ++part) {
        submit(queue, kWrite, file, part * kPartBytes, piece_of(bytes, part * kPartBytes, kPartBytes), part);
        if (part == kParts / 2) queue.flush();
    }
}

}  // namespace

TEST_CASE("A queue whose ring is refused while there is no memory goes on, with what it was given before",
          "[process]") {
    QUEUE_OR_SKIP(probe, 1, IoEngine::kRing);
    CHECK(Child::run([]() -> std::string {
              IoQueue queue = IoQueue::make(kParts);
              const ScratchFile file;
              std::string bytes = noise(kParts * kPartBytes, 1);
              submit_all(queue, file.get(), bytes);
              EXPECT(refuse_call(SYS_io_uring_enter, EPERM));
              every_allocation_fails = true;
              std::size_t done = 0;
              std::size_t failed = 0;
              while (const std::optional<IoDone> one = queue.wait()) {
                  done += 1;
                  failed += one->error != 0 ? 1 : 0;
              }
              every_allocation_fails = false;
              EXPECT(done == kParts && failed == 0);
              EXPECT(file.content() == bytes);
              EXPECT(queue.why() == "threads: io_uring_enter: Operation not permitted");
              return {};
          }) == "");
}

TEST_CASE("A queue that ends when its ring is refused and there is no memory ends what it was given", "[process]") {
    QUEUE_OR_SKIP(probe, 1, IoEngine::kRing);
    CHECK(Child::run([]() -> std::string {
              const ScratchFile file;
              std::string bytes = noise(kParts * kPartBytes, 1);
              {
                  std::optional<IoQueue> queue(IoQueue::make(kParts));
                  submit_all(*queue, file.get(), bytes);
                  EXPECT(refuse_call(SYS_io_uring_enter, EPERM));
                  every_allocation_fails = true;
                  queue.reset();
                  every_allocation_fails = false;
              }
              EXPECT(file.content() == bytes);
              return {};
          }) == "");
}
