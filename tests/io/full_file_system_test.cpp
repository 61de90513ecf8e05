// Space that runs out: a typed error with the bytes that went before, and the same queue goes on when there is
// space.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io/scratch.hpp"
#include "store/child.hpp"
#include "store/result_checks.hpp"

using namespace shoal_test;

namespace {

class SmallTmpfs {
public:
    SmallTmpfs() {
        if (::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=1m") != 0) cannot_ = std::strerror(errno);
    }
    SmallTmpfs(const SmallTmpfs&) = delete;
    SmallTmpfs& operator=(const SmallTmpfs&) = delete;
    ~SmallTmpfs() {
        if (cannot_.empty()) ::umount2(directory_.path().c_str(), MNT_DETACH);
    }
    const std::string& cannot() const { return cannot_; }
    const std::string& path() const { return directory_.path(); }
    bool grow() const { return ::mount("tmpfs", path().c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0; }

private:
    TemporaryDirectory directory_;
    std::string cannot_;
};

// Writes beyond a limit of 1 MiB of this process: what is below it is there, the rest is EFBIG.
std::string write_beyond_file_limit(IoEngine engine, int flags, bool held_by_caller) {
    IoQueue queue = IoQueue::make(4, engine);
    const ScratchFile file(flags);
    const std::string bytes = noise(3 << 20, 1);
    const Aligned memory(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory.data);
    const rlimit limit{1 << 20, 1 << 20};
    EXPECT(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    sigset_t signal;
    ::sigemptyset(&signal);
    ::sigaddset(&signal, SIGXFSZ);
    if (held_by_caller) ::sigprocmask(SIG_BLOCK, &signal, nullptr);
    submit(queue, kWrite, file.get(), 0, {memory.data, 1 << 19}, 1);
    submit(queue, kWrite, file.get(), 1 << 19, {memory.data + (1 << 19), 1 << 20}, 2);
    submit(queue, kWrite, file.get(), 2 << 20, {memory.data + (2 << 20), 1 << 19}, 3);
    const auto done = wait_for_all(queue);
    EXPECT(done.at(1).error == 0);
    EXPECT(done.at(2).error == EFBIG);
    EXPECT(done.at(2).bytes == 1 << 19);
    EXPECT(done.at(3).error == EFBIG);
    EXPECT(done.at(3).bytes == 0);
    EXPECT(file.content() == bytes.substr(0, 1 << 20));
    sigset_t mask;
    ::sigprocmask(SIG_SETMASK, nullptr, &mask);
    EXPECT((::sigismember(&mask, SIGXFSZ) == 1) == held_by_caller);
    return {};
}

}  // namespace

TEST_CASE("A full file system is ENOSPC with the bytes that it took, and writes go on when there is space",
          "[process]") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 4, engine);
    const SmallTmpfs tmpfs;
    if (!tmpfs.cannot().empty()) SHOAL_SKIP("cannot mount a small tmpfs: " << tmpfs.cannot());
    const ScratchFile file(tmpfs.path(), 0);
    std::string bytes = noise(4 << 20, 1);
    std::string read(bytes.size(), '?');
    submit(queue, kWrite, file.get(), 0, piece_of(bytes), 1);
    const IoDone full = wait_for_all(queue).at(1);
    CHECK(full.error == ENOSPC);
    CHECK(full.bytes > 0);
    CHECK(full.bytes <= 1 << 20);
    submit(queue, kRead, file.get(), 0, piece_of(read, 0, full.bytes), 2);
    CHECK(wait_for_all(queue).at(2).bytes == full.bytes);
    CHECK(read.substr(0, full.bytes) == bytes.substr(0, full.bytes));

    REQUIRE(tmpfs.grow());
    submit(queue, kWrite, file.get(), full.bytes, piece_of(bytes, full.bytes), 3);
    CHECK(wait_for_all(queue).at(3).error == 0);
    CHECK(file.content() == bytes);
}

TEST_CASE("A device that is always full is ENOSPC with no bytes") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    QUEUE_OR_SKIP(queue, 4, engine);
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) SHOAL_SKIP("no /dev/full here");
    std::string bytes = noise(5000, 1);
    submit(queue, kWrite, full, 0, piece_of(bytes), 1);
    const IoDone done = wait_for_all(queue).at(1);
    ::close(full);
    CHECK(done.error == ENOSPC);
    CHECK(done.bytes == 0);
}

TEST_CASE("A write beyond ulimit -f is EFBIG with the bytes below the limit, and no SIGXFSZ comes", "[process]") {
    const auto engine = GENERATE(IoEngine::kRing, IoEngine::kThreads);
    // The kernel does a direct write in the thread that submits it, a buffered one in a thread of its own.
    const int flags = GENERATE(0, O_DIRECT);
    const bool held_by_caller = GENERATE(false, true);
    if (ScratchFile(flags).get() < 0) SHOAL_SKIP("no O_DIRECT in the folder for temporary files");
    CHECK(Child::run([&] { return write_beyond_file_limit(engine, flags, held_by_caller); }) == "");
}
