// Each fault at every transfer in turn: the data is right afterwards, or the error is the one that happened, with
// the bytes that went before it.
#include <cerrno>
#include <cstring>

#include "io/fault.hpp"
#include "io/scratch.hpp"

using namespace shoal_test;
using shoal::IoFault;
namespace io_fault = shoal::io_fault;

namespace {

constexpr std::size_t kRequests = 12;
constexpr std::size_t kPieces = 3;
constexpr std::size_t kPieceBytes = 1000;
constexpr std::size_t kRequestBytes = kPieces * kPieceBytes;
constexpr std::size_t kBytes = kRequests * kRequestBytes;

struct Disarm {
    Disarm() = default;
    Disarm(const Disarm&) = delete;
    Disarm& operator=(const Disarm&) = delete;
    ~Disarm() { io_fault::forget(); }
};

// The whole of the bytes in requests of three pieces each.
std::map<std::uint64_t, IoDone> transfer(IoQueue& queue, IoRequest::Kind kind, const ScratchFile& file,
                                         std::string& bytes) {
    for (std::size_t i = 0; i < kRequests; ++i) {
        std::vector<iovec> pieces;
        for (std::size_t j = 0; j < kPieces; ++j)
            pieces.push_back(piece_of(bytes, i * kRequestBytes + j * kPieceBytes, kPieceBytes));
        queue.submit({kind, file.get(), i * kRequestBytes, pieces, i});
    }
    auto done = wait_for_all(queue);
    REQUIRE(done.size() == kRequests);
    return done;
}

// How many transfers the writes and then the reads take when nothing is wrong.
constexpr std::size_t kTransfers = 2 * kRequests;

void check_harmless(IoQueue& queue, std::size_t at, IoFault fault, std::uint64_t times) {
    const Disarm disarm;
    const ScratchFile file;
    std::string written = noise(kBytes, at);
    std::string read(kBytes, '?');
    const std::uint64_t before = io_fault::transfers_seen();
    io_fault::at(at, fault, times);
    for (const auto& [tag, done] : transfer(queue, kWrite, file, written)) {
        REQUIRE(done.error == 0);
        REQUIRE(done.bytes == kRequestBytes);
    }
    REQUIRE(file.content() == written);
    for (const auto& [tag, done] : transfer(queue, kRead, file, read)) {
        REQUIRE(done.error == 0);
        REQUIRE(done.bytes == kRequestBytes);
    }
    REQUIRE(read == written);
    REQUIRE(io_fault::transfers_seen() - before == kTransfers + times);  // each fault cost one more
}

}  // namespace

TEST_CASE("A transfer that is short goes on where it stopped, whichever it is and wherever it stops") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const auto depth = GENERATE(1U, 5U);
    QUEUE_OR_SKIP(queue, depth, engine);
    for (const std::uint64_t short_by : {std::uint64_t{1}, std::uint64_t{999}, std::uint64_t{1000},
                                         std::uint64_t{1001}, std::uint64_t{2500}, std::uint64_t{kRequestBytes}})
        for (std::size_t at = 1; at <= kTransfers; ++at) check_harmless(queue, at, {0, short_by}, 1);
}

TEST_CASE("EINTR, EAGAIN and ECANCELED at any transfer are tried again") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const auto depth = GENERATE(1U, 5U);
    QUEUE_OR_SKIP(queue, depth, engine);
    for (const int error : {EINTR, EAGAIN, ECANCELED})
        for (std::size_t at = 1; at <= kTransfers; ++at) check_harmless(queue, at, {error, 0}, at % 4 == 0 ? 4 : 1);
}

TEST_CASE("An error at any transfer is that request's alone, and what it says was done is done") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 4, engine);
    const Disarm disarm;
    for (const int error : {EIO, ENOSPC, EDQUOT, EFBIG})
        for (std::size_t at = 1; at <= kRequests; ++at) {
            const ScratchFile file;
            std::string written = noise(kBytes, at);
            io_fault::at(at, {error, 0});
            std::size_t failed = 0;
            for (const auto& [tag, done] : transfer(queue, kWrite, file, written)) {
                if (done.error == 0) continue;
                ++failed;
                REQUIRE(done.error == error);
                REQUIRE(done.bytes == 0);
            }
            REQUIRE(failed == 1);
            // What failed can be done again.
            for (const auto& [tag, done] : transfer(queue, kWrite, file, written)) REQUIRE(done.error == 0);
            REQUIRE(file.content() == written);
        }
}

TEST_CASE("An error after a part was transferred comes with the bytes of that part") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const auto kind = GENERATE(kRead, kWrite);
    const std::uint64_t short_by = GENERATE(1U, 500U, 1000U, 1500U, 2999U);
    QUEUE_OR_SKIP(queue, 1, engine);
    const Disarm disarm;
    const ScratchFile file;
    const std::string before = noise(kRequestBytes, 1);
    std::string bytes = kind == kRead ? std::string(kRequestBytes, '?') : noise(kRequestBytes, 2);
    const std::string expected = kind == kRead ? before : bytes;
    file.fill(before);
    const std::vector<iovec> pieces = {piece_of(bytes, 0, 1000), piece_of(bytes, 1000, 1000),
                                       piece_of(bytes, 2000)};
    // The fault is one for a row of transfers, so the error is armed once the short one is over.
    io_fault::at(1, {0, short_by});
    queue.submit({kind, file.get(), 0, pieces, 1});
    io_fault::at(1, {EIO, 0});
    const IoDone done = wait_for_all(queue).at(1);
    CHECK(done.error == EIO);
    CHECK(done.bytes == kRequestBytes - short_by);
    const std::string result = kind == kRead ? bytes : file.content();
    CHECK(result.substr(0, done.bytes) == expected.substr(0, done.bytes));
    CHECK(result.substr(done.bytes) == (kind == kRead ? std::string(short_by, '?') : before.substr(done.bytes)));
}

TEST_CASE("Every transfer short by most of it still ends with all the data") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 3, engine);
    const Disarm disarm;
    const ScratchFile file;
    std::string written = noise(500, 1);
    std::string read(500, '?');
    io_fault::at(1, {0, 10'000}, io_fault::kForEver);  // a byte at a time
    submit(queue, kWrite, file.get(), 0, piece_of(written));
    CHECK(wait_for_all(queue).at(0).bytes == 500);
    submit(queue, kRead, file.get(), 0, piece_of(read));
    CHECK(wait_for_all(queue).at(0).bytes == 500);
    CHECK(read == written);
}

TEST_CASE("An EAGAIN that does not pass becomes the request's error, and the queue goes on") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 2, engine);
    const Disarm disarm;
    const ScratchFile file;
    std::string bytes = noise(1000, 1);
    io_fault::at(1, {EAGAIN, 0}, io_fault::kForEver);
    submit(queue, kWrite, file.get(), 0, piece_of(bytes));
    const IoDone done = wait_for_all(queue).at(0);
    CHECK(done.error == EAGAIN);
    CHECK(done.bytes == 0);
    CHECK(file.size() == 0);
    io_fault::forget();
    submit(queue, kWrite, file.get(), 0, piece_of(bytes));
    CHECK(wait_for_all(queue).at(0).error == 0);
    CHECK(file.content() == bytes);
}

TEST_CASE("EAGAIN time and again is no error as long as there are bytes in between") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 2, engine);
    const Disarm disarm;
    const ScratchFile file;
    std::string bytes = noise(50, 1);
    std::vector<iovec> pieces;
    for (int i = 0; i < 50'000; ++i) pieces.push_back(piece_of(bytes, static_cast<std::size_t>(i) % 50, 1));
    io_fault::at(1, {EAGAIN, 0}, io_fault::kForEver, 2);  // before each IOV_MAX of the pieces
    queue.submit({kWrite, file.get(), 0, pieces, 1});
    const IoDone done = wait_for_all(queue).at(1);
    CHECK(done.error == 0);
    CHECK(done.bytes == pieces.size());
    CHECK(file.content().substr(49'950) == bytes);
}

TEST_CASE("EINVAL after a short read is the end of the file where the file ends there, and an error elsewhere") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    const auto [file_bytes, expected_error] = GENERATE(table<std::size_t, int>({{100, 0}, {101, EINVAL}}));
    QUEUE_OR_SKIP(queue, 1, engine);
    const Disarm disarm;
    const ScratchFile file;
    file.fill(noise(file_bytes, 1));
    std::string read(200, '?');
    io_fault::at(1, {0, 100});
    submit(queue, kRead, file.get(), 0, piece_of(read));
    queue.flush();
    io_fault::at(1, {EINVAL, 0});
    const IoDone done = wait_for_all(queue).at(0);
    CHECK(done.error == expected_error);
    CHECK(done.bytes == 100);
}
