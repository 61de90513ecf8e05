// The default memory limit in a control group: by texts as the kernel writes them, and in a group of the kernel's
// own.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "arena/group_memory.hpp"
#include "catch.hpp"

#include "../mount_namespace.hpp"
#include "../store/child.hpp"
#include "../store/result_checks.hpp"
#include "../store/temporary_store.hpp"

using namespace shoal;
using namespace shoal_test;

namespace {

constexpr std::uint64_t kMi = 1ULL << 20;

using Files = std::map<std::string, std::string>;  // their text, by path

// A folder with the files of /proc and /sys that a process would see.
class System {
public:
    explicit System(const Files& files) {
        for (const auto& [path, text] : files) {
            const std::filesystem::path whole = root() + path;
            std::filesystem::create_directories(whole.parent_path());
            std::ofstream(whole) << text;
        }
    }
    [[nodiscard]] std::string root() const { return folder_.path(); }
    [[nodiscard]] std::uint64_t left() const { return group_memory_left(root()); }

private:
    TemporaryDirectory folder_;
};

std::string bytes(std::uint64_t mebibytes) { return std::to_string(mebibytes * kMi) + "\n"; }

const std::string kV2Mount = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kOtherMount = "23 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";

std::map<std::string, std::string> version_2() {
    return {{"/proc/self/cgroup", "0::/user.slice/job\n"},
            {"/proc/self/mountinfo", kOtherMount + kV2Mount},
            {"/sys/fs/cgroup/user.slice/job/memory.max", "max\n"},
            {"/sys/fs/cgroup/user.slice/job/memory.high", "max\n"},
            {"/sys/fs/cgroup/user.slice/job/memory.current", bytes(10)},
            {"/sys/fs/cgroup/user.slice/memory.max", "max\n"},
            {"/sys/fs/cgroup/user.slice/memory.high", "max\n"},
            {"/sys/fs/cgroup/user.slice/memory.current", bytes(20)}};
}

std::map<std::string, std::string> version_1(const std::string& path, const std::string& mount_root) {
    return {{"/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:" + path + "\n1:name=systemd:/x\n0::/\n"},
            {"/proc/self/mountinfo",
             "34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
             "35 31 0:32 " +
                 mount_root + " /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"}};
}

}  // namespace

TEST_CASE("Groups without a limit leave all") {
    CHECK(System(version_2()).left() == kNoGroupLimit);
    CHECK(System(Files{}).left() == kNoGroupLimit);  // no /proc
    CHECK(System(Files{{"/proc/self/cgroup", "0::/\n"}}).left() == kNoGroupLimit);
    CHECK(System(Files{{"/proc/self/cgroup", "0::/\n"}, {"/proc/self/mountinfo", kV2Mount}}).left() ==
          kNoGroupLimit);
}

TEST_CASE("Of version 2, a group's limit counts less what the group uses") {
    auto files = version_2();
    files["/sys/fs/cgroup/user.slice/job/memory.max"] = bytes(128);
    CHECK(System(files).left() == 118 * kMi);
    files["/sys/fs/cgroup/user.slice/job/memory.high"] = bytes(100);
    CHECK(System(files).left() == 90 * kMi);
    files["/sys/fs/cgroup/user.slice/job/memory.current"] = bytes(200);
    CHECK(System(files).left() == 0);
}

TEST_CASE("Of version 2, the limit of a group above counts too") {
    auto files = version_2();
    files["/sys/fs/cgroup/user.slice/job/memory.max"] = bytes(1000);
    files["/sys/fs/cgroup/user.slice/memory.max"] = bytes(64);
    CHECK(System(files).left() == 44 * kMi);
}

TEST_CASE("A group's page cache counts as free, its shared memory does not") {
    auto files = version_2();
    files["/sys/fs/cgroup/user.slice/job/memory.max"] = bytes(128);
    files["/sys/fs/cgroup/user.slice/job/memory.current"] = bytes(120);
    files["/sys/fs/cgroup/user.slice/job/memory.stat"] =
        "anon 1\nfile 104857600\nshmem 62914560\ninactive_file " + bytes(30) + "active_file " + bytes(10);
    CHECK(System(files).left() == 48 * kMi);
}

TEST_CASE("In a container with a namespace of groups the mount is the process's own group") {
    CHECK(System(Files{{"/proc/self/cgroup", "0::/\n"},
                       {"/proc/self/mountinfo", kV2Mount},
                       {"/sys/fs/cgroup/memory.max", bytes(128)},
                       {"/sys/fs/cgroup/memory.high", "max\n"},
                       {"/sys/fs/cgroup/memory.current", bytes(28)}})
              .left() == 100 * kMi);
    // One that has moved out of its namespace's root.
    CHECK(System(Files{{"/proc/self/cgroup", "0::/../other\n"},
                       {"/proc/self/mountinfo", kV2Mount},
                       {"/sys/fs/cgroup/memory.max", bytes(128)},
                       {"/sys/fs/cgroup/memory.high", "max\n"},
                       {"/sys/fs/cgroup/memory.current", bytes(28)}})
              .left() == 100 * kMi);
}

TEST_CASE("Of version 1, the group and those above it count") {
    auto files = version_1("/docker/5c", "/");
    const std::string memory = "/sys/fs/cgroup/memory";
    files[memory + "/memory.limit_in_bytes"] = "9223372036854771712\n";
    files[memory + "/memory.usage_in_bytes"] = bytes(5000);
    files[memory + "/docker/memory.limit_in_bytes"] = "9223372036854771712\n";
    files[memory + "/docker/memory.usage_in_bytes"] = bytes(500);
    files[memory + "/docker/5c/memory.limit_in_bytes"] = bytes(128);
    files[memory + "/docker/5c/memory.usage_in_bytes"] = bytes(100);
    files[memory + "/docker/5c/memory.stat"] = "inactive_file 0\nactive_file 0\nhierarchical_memory_limit " +
                                               bytes(128) + "total_inactive_file " + bytes(12) +
                                               "total_active_file " + bytes(8);
    CHECK(System(files).left() == 48 * kMi);
    files[memory + "/docker/memory.limit_in_bytes"] = bytes(520);
    CHECK(System(files).left() == 20 * kMi);
}

TEST_CASE("Of version 1, a mount may show the process's group alone, and its limit those above") {
    const std::string memory = "/sys/fs/cgroup/memory";
    for (const char* root : {"/docker/5c", "/docker/other"}) {  // the same, and one that is called otherwise inside
        auto files = version_1("/docker/5c", root);
        files[memory + "/memory.limit_in_bytes"] = "9223372036854771712\n";
        files[memory + "/memory.usage_in_bytes"] = bytes(28);
        files[memory + "/memory.stat"] = "hierarchical_memory_limit " + bytes(128);
        CHECK(System(files).left() == 100 * kMi);
    }
}

TEST_CASE("A mount's path may have a space") {
    CHECK(System(Files{{"/proc/self/cgroup", "0::/a b\n"},
                       {"/proc/self/mountinfo", "31 23 0:28 / /my\\040groups rw - cgroup2 none rw\n"},
                       {"/my groups/a b/memory.max", bytes(64)},
                       {"/my groups/a b/memory.high", "max\n"},
                       {"/my groups/a b/memory.current", bytes(4)}})
              .left() == 60 * kMi);
}

TEST_CASE("Texts that are no texts of the kernel's are no limit") {
    for (const char* text : {"", ":", "0", "0:", "::", "0::", "\n\n", "0::/\n:memory:"}) {
        CHECK(System(
                  Files{{"/proc/self/cgroup", text}, {"/proc/self/mountinfo", "a b c - \n - cgroup2\n" + kV2Mount}})
                  .left() == kNoGroupLimit);
    }
}

namespace {

// A group of the kernel's with a limit, below this process's own.
class MemoryGroup {
public:
    explicit MemoryGroup(std::uint64_t limit) {
        std::ifstream groups("/proc/self/cgroup");
        const std::string name = "/shoal-test-" + std::to_string(::getpid());
        for (std::string line; std::getline(groups, line);) {
            const std::size_t at = line.find(":memory:");
            if (at != std::string::npos) {
                try_it("/sys/fs/cgroup/memory" + line.substr(at + 8) + name, "/memory.limit_in_bytes", limit);
            } else if (line.rfind("0::", 0) == 0) {
                // Of version 2, groups lie beside groups with processes, not in them.
                const std::filesystem::path own = "/sys/fs/cgroup" + line.substr(3);
                const std::filesystem::path above = line == "0::/" ? own : own.parent_path();
                try_it(above.string() + name, "/memory.max", limit);
            }
        }
    }
    MemoryGroup(const MemoryGroup&) = delete;
    MemoryGroup& operator=(const MemoryGroup&) = delete;
    ~MemoryGroup() {
        if (exists()) ::rmdir(folder_.c_str());
    }
    [[nodiscard]] bool exists() const { return !folder_.empty(); }
    // The calling process goes there.
    [[nodiscard]] bool enter() const {
        return write_text((folder_ + "/cgroup.procs").c_str(), std::to_string(::getpid()));
    }

private:
    void try_it(const std::string& folder, const char* limit_file, std::uint64_t limit) {
        if (exists() || ::mkdir(folder.c_str(), 0755) != 0) return;
        if (write_text((folder + limit_file).c_str(), std::to_string(limit))) {
            folder_ = folder;
        } else {
            ::rmdir(folder.c_str());
        }
    }

    std::string folder_;
};

}  // namespace

TEST_CASE("A store that a container of 128 MiB creates by default can be filled there", "[process]") {
    const MemoryGroup group(128 * kMi);
    if (!group.exists())
        SHOAL_SKIP("no control group with a memory limit can be made (root; cgroup version 1 or 2)");
    TemporaryStore place;
    const std::string failure = Child::run([&]() -> std::string {
        EXPECT(group.enter());
        auto store = Store::open(place.path());
        EXPECT_OK(store);
        const std::uint64_t limit = store->stats()->memory_limit_bytes;
        EXPECT(limit <= 64 * kMi && limit >= 8 * kMi);
        const std::string value(1 << 20, 'v');
        for (std::uint64_t appended = 0; appended < 200; ++appended) {
            const auto done = store->append("key", value);
            if (done) continue;
            EXPECT(done.error().code == Code::kMemoryLimit);
            return {};
        }
        return "no limit was met";
    });
    CHECK(failure == "");
}

TEST_CASE("A store in memory has its default limit by the container too", "[process]") {
    const MemoryGroup group(128 * kMi);
    if (!group.exists())
        SHOAL_SKIP("no control group with a memory limit can be made (root; cgroup version 1 or 2)");
    CHECK(Child::run([&]() -> std::string {
              EXPECT(group.enter());
              auto store = Store::in_memory();
              EXPECT_OK(store);
              EXPECT(store->stats()->memory_limit_bytes <= 64 * kMi);
              return {};
          }) == "");
}
