// The output is at its place whole, or not at all.
#include "shuffle/output_folder.hpp"

#include <fcntl.h>

#include "temporary_folder.hpp"

namespace shoal::shuffling::test {
namespace {

namespace fs = std::filesystem;

OutputFolder prepared(const std::string& path, bool force = false) {
    auto folder = OutputFolder::prepare(path, force);
    REQUIRE(folder.has_value());
    return std::move(*folder);
}

void fill(const OutputFolder& folder, const char* name) {
    const FileDescriptor file(openat(folder.fd(), name, O_CREAT | O_WRONLY, 0600));
    REQUIRE(file.valid());
}

}  // namespace

TEST_CASE("nothing is at the output's place before it is published, and nothing is left when it is not") {
    const TemporaryFolder parent;
    {
        const auto folder = prepared(parent / "out");
        fill(folder, "part");
        REQUIRE_FALSE(fs::exists(parent / "out"));
    }
    REQUIRE(parent.names().empty());
    {
        auto folder = prepared(parent / "out/");
        fill(folder, "part");
        REQUIRE(folder.publish().has_value());
    }
    REQUIRE(parent.names() == std::set<std::string>{"out"});
    REQUIRE(fs::exists(parent / "out/part"));
}

TEST_CASE("a folder with something in it is replaced by force only, an empty one always") {
    const TemporaryFolder parent;
    fs::create_directory(parent / "out");
    {
        auto folder = prepared(parent / "out");
        fill(folder, "first");
        REQUIRE(folder.publish().has_value());
    }
    REQUIRE(OutputFolder::prepare(parent / "out", false).error().cause == ShuffleCause::kUsage);
    {
        auto folder = prepared(parent / "out", true);
        fill(folder, "second");
        REQUIRE(fs::exists(parent / "out/first"));
        REQUIRE(folder.publish().has_value());
    }
    REQUIRE(fs::exists(parent / "out/second"));
    REQUIRE_FALSE(fs::exists(parent / "out/first"));
    REQUIRE(parent.names() == std::set<std::string>{"out"});
}

TEST_CASE("what appears at the output's place meanwhile is not overwritten") {
    const TemporaryFolder parent;
    auto folder = prepared(parent / "out");
    fs::create_directory(parent / "out");
    parent.write("out/theirs", "1");
    REQUIRE_FALSE(folder.publish().has_value());
    REQUIRE(contents(parent / "out/theirs") == "1");
}

TEST_CASE("an abandoned hidden folder is removed, that of a living job is not") {
    const TemporaryFolder parent;
    fs::create_directory(parent / ".out.shoal-abcdef");
    fs::create_directory(parent / ".other.shoal-abcdef");
    const auto living = prepared(parent / "out");
    const auto other = prepared(parent / "out");
    const auto names = parent.names();
    REQUIRE(names.size() == 3);
    REQUIRE(names.count(".out.shoal-abcdef") == 0);
    REQUIRE(names.count(".other.shoal-abcdef") == 1);
}

TEST_CASE("a file at the output's place, or a parent that is not there, is an error") {
    const TemporaryFolder parent;
    parent.write("file", "");
    REQUIRE(OutputFolder::prepare(parent / "file", true).error().cause == ShuffleCause::kUsage);
    REQUIRE(OutputFolder::prepare(parent / "no/out", false).error().cause == ShuffleCause::kSystem);
}

}  // namespace shoal::shuffling::test
