// What a process takes that appends, spills and reads back several times the memory limit, as the kernel counts it.
#include <sys/wait.h>

#include <csignal>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <shoal/store.hpp>

#include "../store/child.hpp"
#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "../store/scale.hpp"
#include "catch.hpp"
#include "spilling_store.hpp"

using shoal::Store;
using namespace shoal_test;

namespace {

constexpr std::uint64_t kLimit = 32 * kMiB;
constexpr std::uint64_t kMore = 64 * kMiB;  // that a process may take beside it
constexpr std::size_t kKeys = 20, kReaders = 16;

// "VmRSS" or "VmHWM" of a process, in bytes.
std::uint64_t resident_bytes(pid_t process, const std::string& which) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(which + ":")) return std::stoull(line.substr(which.size() + 1)) * 1024;
    }
    return 0;
}

std::string append_four_times_the_limit(Store& store) {
    const std::string record = pattern(4'096, 1);
    for (std::uint64_t bytes = 0; bytes < 4 * kLimit; bytes += record.size()) {
        EXPECT_OK(store.append(std::to_string(bytes / record.size() % kKeys), record));
    }
    return {};
}

// All at once, each into memory of its own.
std::string read_back(const Store& store, std::vector<std::vector<std::byte>>& buffers) {
    std::vector<std::string> wrong(kReaders);
    std::vector<std::thread> readers;
    for (std::size_t reader = 0; reader < kReaders; ++reader) {
        readers.emplace_back([&, reader] {
            for (std::size_t key = 0; key < kKeys; ++key) {
                const auto got = store.get_into(std::to_string((key + reader) % kKeys), buffers[reader]);
                if (!got) wrong[reader] += got.error().message;
            }
        });
    }
    std::string all;
    for (std::thread& reader : readers) reader.join();
    for (const std::string& one : wrong) all += one;
    return all;
}

// The child's, when it has stopped; then it goes on.
std::uint64_t when_stopped(const Child& child, const std::string& which) {
    siginfo_t info{};
    const auto id = static_cast<id_t>(child.pid());
    if (::waitid(P_PID, id, &info, WSTOPPED | WEXITED | WNOWAIT) != 0 || info.si_code != CLD_STOPPED) return 0;
    const std::uint64_t bytes = resident_bytes(child.pid(), which);
    child.kill(SIGCONT);
    return bytes;
}

}  // namespace

TEST_CASE("A process that appends, spills and reads four times the limit takes 64 MiB beside it at most",
          "[process]") {
    if (kSanitizer) SHOAL_SKIP("a sanitizer takes memory of its own");
    const std::string codec = GENERATE("none", "lz4");
    SpillingPlace place;
    Child child = Child::start([&]() -> std::string {
        // What the readers are given is theirs, and there before.
        std::vector<std::vector<std::byte>> buffers(kReaders, std::vector<std::byte>(4 * kLimit / kKeys + 4'096));
        ::raise(SIGSTOP);
        auto store = Store::open(place.path(), place.options(kLimit, codec));
        EXPECT_OK(store);
        std::string wrong = append_four_times_the_limit(*store);
        if (wrong.empty()) wrong = read_back(*store, buffers);
        ::raise(SIGSTOP);
        return wrong;
    });
    const std::uint64_t before = when_stopped(child, "VmRSS");
    const std::uint64_t peak = when_stopped(child, "VmHWM");
    CHECK(child.wait() == "");
    REQUIRE(before != 0);
    REQUIRE(peak > before + kLimit / 2);
    CHECK(peak - before <= kLimit + kMore);
}
