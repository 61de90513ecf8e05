// Reads and writes by either engine: what was written is read, whatever the offsets, the pieces and the depth.
#include <limits.h>
#include <sys/mman.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include <rapidcheck.h>

#include "../store/scale.hpp"
#include "io/scratch.hpp"

using namespace shoal_test;

namespace {

constexpr IoEngine kEngines[] = {IoEngine::kRing, IoEngine::kThreads};

// Cuts the memory into pieces at random, some of them empty.
std::vector<iovec> pieces_of(std::string& bytes, std::size_t from, std::size_t size, std::mt19937_64& random) {
    std::vector<iovec> pieces;
    while (size != 0) {
        const std::size_t part = std::min<std::size_t>(size, random() % (random() % 4 == 0 ? 100'000 : 300));
        pieces.push_back(piece_of(bytes, from, part));
        from += part;
        size -= part;
    }
    return pieces;
}

struct Part {
    std::uint64_t offset;
    std::size_t size;
};

std::vector<Part> parts_of(std::size_t bytes, std::mt19937_64& random) {
    std::vector<Part> parts;
    for (std::size_t offset = 0; offset < bytes;) {
        const std::size_t size =
            std::min<std::size_t>(bytes - offset, random() % (random() % 8 == 0 ? 200'000 : 3000));
        parts.push_back({offset, size});
        offset += size;
    }
    std::shuffle(parts.begin(), parts.end(), random);
    return parts;
}

// Writes a file in parts that do not overlap, in any order, and reads it in others; all through one queue.
void round_trip(IoEngine engine, unsigned depth, std::size_t bytes, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    IoQueue queue = IoQueue::make(depth, engine);
    const ScratchFile file;
    std::string written = noise(bytes, seed);
    std::uint64_t tag = 0;
    const std::vector<Part> writes = parts_of(bytes, random);
    for (const Part& part : writes) {
        const std::vector<iovec> pieces = pieces_of(written, part.offset, part.size, random);
        queue.submit({kWrite, file.get(), part.offset, pieces, tag++});
        if (random() % 3 == 0) queue.flush();
    }
    RC_ASSERT(queue.in_flight() == writes.size());
    const auto written_parts = wait_for_all(queue);
    RC_ASSERT(written_parts.size() == writes.size());
    for (const auto& [number, done] : written_parts) {
        RC_ASSERT(done.error == 0);
        RC_ASSERT(done.bytes == writes[number].size);
    }
    RC_ASSERT(file.content() == written);

    // Beyond the end, too: there a read is as long as the file.
    std::string read(bytes + 5000, '?');
    const std::vector<Part> reads = parts_of(read.size(), random);
    std::set<std::uint64_t> given_out;
    tag = 0;
    for (const Part& part : reads) {
        const std::vector<iovec> pieces = pieces_of(read, part.offset, part.size, random);
        queue.submit({kRead, file.get(), part.offset, pieces, tag++});
        if (random() % 2 != 0) continue;
        const auto done = queue.wait();
        RC_ASSERT(done.has_value());
        RC_ASSERT(given_out.insert(done->tag).second);
    }
    RC_ASSERT(queue.in_flight() == reads.size() - given_out.size());
    for (const auto& [number, done] : wait_for_all(queue)) {
        RC_ASSERT(done.error == 0);
        const std::uint64_t there = std::max<std::uint64_t>(bytes, reads[number].offset) - reads[number].offset;
        RC_ASSERT(done.bytes == std::min<std::uint64_t>(reads[number].size, there));
        RC_ASSERT(given_out.insert(number).second);
    }
    RC_ASSERT(given_out.size() == reads.size());
    RC_ASSERT(queue.in_flight() == 0U);
    read.resize(bytes);
    RC_ASSERT(read == written);
}

}  // namespace

TEST_CASE("What was written is read, at any offsets, in any pieces, at any depth") {
    for (const IoEngine engine : kEngines) {
        QUEUE_OR_SKIP(probe, 1, engine);
        REQUIRE(rc::check([engine] {
            const auto depth = *rc::gen::inRange(1U, 65U);
            const auto bytes = *rc::gen::inRange<std::size_t>(1, 1'500'000);
            round_trip(engine, depth, bytes, *rc::gen::arbitrary<std::uint64_t>());
        }));
    }
}

TEST_CASE("Thousands of requests go through a queue of any depth, each given out once") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const auto depth = GENERATE(1U, 2U, 7U, 64U);
    QUEUE_OR_SKIP(queue, depth, engine);
    const ScratchFile file;
    constexpr std::size_t kRequests = 5000;
    constexpr std::size_t kBytes = 200;
    std::string written = noise(kRequests * kBytes, depth);
    for (std::size_t i = 0; i < kRequests; ++i)
        submit(queue, kWrite, file.get(), i * kBytes, piece_of(written, i * kBytes, kBytes), i);
    std::vector<int> seen(kRequests);
    while (const auto done = queue.wait()) {
        REQUIRE(done->error == 0);
        REQUIRE(done->bytes == kBytes);
        ++seen[done->tag];
    }
    CHECK(std::count(seen.begin(), seen.end(), 1) == kRequests);
    CHECK(file.content() == written);
}

TEST_CASE("More pieces than one system call takes are transferred all the same") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 2, engine);
    const ScratchFile file;
    std::string written = noise(3 * IOV_MAX + 5, 1);
    std::vector<iovec> pieces;
    for (std::size_t i = 0; i < written.size(); ++i) pieces.push_back(piece_of(written, i, 1));
    queue.submit({kWrite, file.get(), 0, pieces, 7});
    CHECK(wait_for_all(queue).at(7).bytes == written.size());
    CHECK(file.content() == written);
}

TEST_CASE("A request of more bytes than one system call transfers is done to its end") {
    if (kThreadSanitizer) SHOAL_SKIP("it looks at each of 4 GiB before the system call");
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const std::size_t piece_bytes = GENERATE(std::size_t{4} << 20, std::size_t{5} << 30);
    QUEUE_OR_SKIP(queue, 1, engine);
    // write(2) takes at most 0x7ffff000, and an SQE's length has 32 bits.
    constexpr std::size_t kBytes = (std::size_t{4} << 30) + 100'000;
    // Nothing reads this memory: /dev/null takes it by its length.
    void* memory = ::mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    std::vector<iovec> pieces;
    for (std::size_t from = 0; from < kBytes; from += piece_bytes)
        pieces.push_back({static_cast<char*>(memory) + from, std::min(piece_bytes, kBytes - from)});
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    queue.submit({kWrite, null, 0, pieces, 1});
    const IoDone done = wait_for_all(queue).at(1);
    ::close(null);
    ::munmap(memory, kBytes);
    CHECK(done.error == 0);
    CHECK(done.bytes == kBytes);
}

TEST_CASE("A request of no bytes is done with none, and an empty queue has nothing to wait for") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 1, engine);
    CHECK_FALSE(queue.wait().has_value());
    const ScratchFile file;
    std::string empty;
    const std::vector<iovec> pieces(3, piece_of(empty));
    queue.submit({kWrite, file.get(), 10, pieces, 1});
    queue.submit({kRead, file.get(), 10, {}, 2});
    CHECK(queue.in_flight() == 2);
    const auto done = wait_for_all(queue);
    CHECK(done.at(1).error == 0);
    CHECK(done.at(1).bytes == 0);
    CHECK(done.at(2).error == 0);
    CHECK(queue.in_flight() == 0);
    CHECK(file.size() == 0);
}

TEST_CASE("A read at and beyond the end of the file is short without an error") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 4, engine);
    const ScratchFile file;
    file.fill("0123456789");
    std::string across(100, '?');
    std::string beyond(100, '?');
    submit(queue, kRead, file.get(), 4, piece_of(across), 1);
    submit(queue, kRead, file.get(), 10, piece_of(beyond), 2);
    const auto done = wait_for_all(queue);
    CHECK(done.at(1).error == 0);
    CHECK(done.at(1).bytes == 6);
    CHECK(across == "456789" + std::string(94, '?'));
    CHECK(done.at(2).error == 0);
    CHECK(done.at(2).bytes == 0);
    CHECK(beyond == std::string(100, '?'));
}

TEST_CASE("A descriptor that is none, or not open for it, is the request's error and nobody else's") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 4, engine);
    const ScratchFile file;
    std::string bytes = "some bytes";
    submit(queue, kWrite, -1, 0, piece_of(bytes), 1);
    submit(queue, kWrite, file.get(), 0, piece_of(bytes), 2);
    const int read_only = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    submit(queue, kWrite, read_only, 0, piece_of(bytes), 3);
    const auto done = wait_for_all(queue);
    ::close(read_only);
    CHECK(done.at(1).error == EBADF);
    CHECK(done.at(2).error == 0);
    CHECK(done.at(3).error == EBADF);
    CHECK(file.content() == bytes);
}

TEST_CASE("A file opened O_DIRECT is written and read by aligned requests, its end by a short one") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 8, engine);
    const ScratchFile file(O_DIRECT);
    if (file.get() < 0) SHOAL_SKIP("no O_DIRECT in the folder for temporary files");
    const Aligned memory(64 * 4096);
    const std::string bytes = noise(memory.size, 3);
    std::copy(bytes.begin(), bytes.end(), memory.data);
    for (std::size_t i = 0; i < 64; ++i)
        submit(queue, kWrite, file.get(), i * 4096, {memory.data + i * 4096, 4096}, i);
    for (const auto& [tag, done] : wait_for_all(queue)) REQUIRE(done.error == 0);
    CHECK(file.content() == bytes);

    REQUIRE(::ftruncate(file.get(), 63 * 4096 + 100) == 0);
    std::fill(memory.data, memory.data + memory.size, '?');
    submit(queue, kRead, file.get(), 0, {memory.data, memory.size});
    const auto done = wait_for_all(queue).at(0);
    CHECK(done.error == 0);
    CHECK(done.bytes == 63 * 4096 + 100);
    CHECK(std::string(memory.data, done.bytes) == bytes.substr(0, done.bytes));
}

TEST_CASE("A queue that goes away has first finished what was under way") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const ScratchFile file;
    std::string bytes = noise(3'000'000, 4);
    {
        QUEUE_OR_SKIP(queue, 4, engine);
        for (std::size_t i = 0; i < 3; ++i)
            submit(queue, kWrite, file.get(), i * 1'000'000, piece_of(bytes, i * 1'000'000, 1'000'000));
        queue.flush();
    }
    CHECK(file.content() == bytes);
}

TEST_CASE("A queue goes on in another thread, also after the one that made it has ended") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const ScratchFile file;
    std::string bytes = noise(100'000, 5);
    std::string read(bytes.size(), '?');
    std::optional<IoQueue> queue;
    std::thread([&] {
        queue.emplace(IoQueue::make(2, engine));
        submit(*queue, kWrite, file.get(), 0, piece_of(bytes));
        wait_for_all(*queue);
    }).join();
    submit(*queue, kRead, file.get(), 0, piece_of(read));
    CHECK(wait_for_all(*queue).at(0).bytes == bytes.size());
    CHECK(read == bytes);
}
