// Queues and fork: the child has an empty queue of its own, the parent's goes on undisturbed.
#include <dirent.h>
#include <fcntl.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "io/scratch.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"
#include "store/scale.hpp"

using namespace shoal_test;

namespace {

constexpr std::size_t kPart = 100'000;
constexpr std::size_t kParts = 16;

void submit_parts(IoQueue& queue, IoRequest::Kind kind, const ScratchFile& file, std::string& bytes) {
    for (std::size_t i = 0; i < kParts; ++i)
        submit(queue, kind, file.get(), i * kPart, piece_of(bytes, i * kPart, kPart), i);
}

std::string all_went_well(IoQueue& queue) {
    const auto done = wait_for_all(queue);
    EXPECT(done.size() == kParts);
    for (const auto& [tag, one] : done) EXPECT(one.error == 0 && one.bytes == kPart);
    return {};
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* folder = ::opendir("/proc/self/fd");
    while (::readdir(folder) != nullptr) ++count;
    ::closedir(folder);
    return count;
}

bool has_memory_of_a_ring() {
    std::ifstream maps("/proc/self/maps");
    const std::string text{std::istreambuf_iterator<char>(maps), {}};
    return text.find("[io_uring]") != std::string::npos;
}

// Its allocator's locks are not let go of in a child (LLVM 14): the child hangs when a thread of its parent was
// allocating, as threads do that have just started. glibc's own locks are.
bool may_fork_beside(IoEngine engine) { return engine == IoEngine::kRing || !kAddressSanitizer; }

}  // namespace

TEST_CASE("A child of fork uses an inherited queue as an empty one, while its parent's goes on", "[process]") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    if (!may_fork_beside(engine)) SHOAL_SKIP("AddressSanitizer: a fork beside threads that allocate");
    QUEUE_OR_SKIP(queue, 32, engine);
    const ScratchFile of_parent;
    const ScratchFile of_child;
    std::string parent_bytes = noise(kPart * kParts, 1);
    submit_parts(queue, kWrite, of_parent, parent_bytes);  // some queued, some under way
    queue.flush();
    submit_parts(queue, kWrite, of_parent, parent_bytes);
    std::vector<Child> children;
    children.push_back(Child::start([&]() -> std::string {
        EXPECT(queue.in_flight() == 0);
        EXPECT(!queue.wait().has_value());
        EXPECT(queue.engine() == engine);
        std::string bytes = noise(kPart * kParts, 2);
        submit_parts(queue, kWrite, of_child, bytes);
        if (std::string wrong = all_went_well(queue); !wrong.empty()) return wrong;
        std::string read(bytes.size(), '?');
        submit_parts(queue, kRead, of_child, read);
        if (std::string wrong = all_went_well(queue); !wrong.empty()) return wrong;
        EXPECT(read == bytes);
        return {};
    }));
    CHECK(queue.in_flight() == 2 * kParts);
    CHECK(all_went_well(queue) == "");
    CHECK(of_parent.content() == parent_bytes);
    CHECK(wait_for(children) == "");
    CHECK(of_child.content() == noise(kPart * kParts, 2));
    std::string read(parent_bytes.size(), '?');
    submit_parts(queue, kRead, of_parent, read);
    CHECK(all_went_well(queue) == "");
    CHECK(read == parent_bytes);
}

TEST_CASE("A child that lets go of an inherited queue keeps nothing open, and does not disturb its parent",
          "[process]") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    if (!may_fork_beside(engine)) SHOAL_SKIP("AddressSanitizer: a fork beside threads that allocate");
    std::optional<IoQueue> queue;
    const std::size_t before = open_descriptors();
    queue.emplace(IoQueue::make(32, engine));
    if (queue->engine() != engine) SHOAL_SKIP("no io_uring: " << queue->why());
    const ScratchFile file;
    std::string bytes = noise(kPart * kParts, 1);
    submit_parts(*queue, kWrite, file, bytes);
    queue->flush();
    CHECK(has_memory_of_a_ring() == (engine == IoEngine::kRing));
    CHECK(Child::run([&]() -> std::string {
              EXPECT(!has_memory_of_a_ring());
              queue.reset();
              EXPECT(open_descriptors() == before + 2);  // the file, and the pipe to the parent
              return {};
          }) == "");
    CHECK(all_went_well(*queue) == "");
    CHECK(file.content() == bytes);
}
