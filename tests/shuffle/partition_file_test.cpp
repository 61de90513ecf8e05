// Names and bytes of partition files.
#include "shuffle/partition_file.hpp"

#include <fcntl.h>
#include <rapidcheck.h>
#include <xxhash.h>

#include "temporary_folder.hpp"

namespace shoal::shuffling::test {
namespace {

// The value that an uncut name stands for.
std::string decoded(const std::string& name) {
    std::string value;
    const std::string code = name.substr(6, name.size() - 6 - 4);
    for (std::size_t i = 0; i < code.size(); ++i) {
        if (code[i] != '%') {
            value += code[i];
            continue;
        }
        value += static_cast<char>(std::stoi(code.substr(i + 1, 2), nullptr, 16));
        i += 2;
    }
    return value;
}

}  // namespace

TEST_CASE("a value can be read back from its file's name, which holds only harmless bytes") {
    REQUIRE(value_file_name("", ".csv") == "value-.csv");
    REQUIRE(value_file_name("N14228", ".csv") == "value-N14228.csv");
    REQUIRE(value_file_name("../x y", ".csv") == "value-%2E.%2Fx%20y.csv");
    REQUIRE(rc::check([](const std::string& value) {
        const std::string name = value_file_name(value, ".csv");
        RC_ASSERT(name.size() <= 200U);
        RC_PRE(name.find('~') == std::string::npos);
        RC_ASSERT(decoded(name) == value);
        RC_ASSERT(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%") ==
                  std::string::npos);
    }));
}

TEST_CASE("long values that share their beginning have names of their own, of at most 200 bytes") {
    const std::string first = value_file_name(std::string(5000, '/') + "a", ".jsonl");
    const std::string second = value_file_name(std::string(5000, '/') + "b", ".jsonl");
    REQUIRE(first != second);
    REQUIRE(first.size() <= 200);
    REQUIRE(first.find('~') != std::string::npos);
    REQUIRE(first.substr(first.size() - 6) == ".jsonl");
    const std::string longest(200 - 6 - 4, 'v');
    REQUIRE(value_file_name(longest, ".csv") == "value-" + longest + ".csv");
    REQUIRE(value_file_name(longest + "v", ".csv").find('~') != std::string::npos);
}

TEST_CASE("a file is its pieces one after the other, and its checksum that of the whole, past the page cache too") {
    const auto through = GENERATE(PartitionFile::Through::kPageCache, PartitionFile::Through::kDisk);
    const std::string base = GENERATE("", "/dev/shm");  // which has no way past the page cache
    const auto last = static_cast<std::size_t>(GENERATE(0, 1, 5'000, 172'033, 172'034, 4'000'000));
    const TemporaryFolder folder(base);
    const FileDescriptor place(open((folder / "").c_str(), O_RDONLY | O_DIRECTORY));
    auto file = PartitionFile::create(place.get(), "f", through);
    REQUIRE(file.has_value());
    std::string whole;
    for (const std::size_t bytes : std::initializer_list<std::size_t>{
             1, 0, 100, 16383, 16384, 300'000, 5, 262'144, 262'143, 1, 7, 4'000'000, 13'000, 1'100'000, last}) {
        const std::string piece(bytes, static_cast<char>('a' + bytes % 26));
        REQUIRE(file->write(piece).has_value());
        whole += piece;
    }
    REQUIRE(file->finish().has_value());
    REQUIRE(contents(folder / "f") == whole);
    REQUIRE(file->bytes() == whole.size());
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(whole.data(), whole.size()));
    const Digest digest = file->digest();
    REQUIRE(std::equal(digest.begin(), digest.end(), canonical.digest));
}

TEST_CASE("a file that is paused anywhere and resumed, also another way through, is as one that was not") {
    const std::string base = GENERATE("", "/dev/shm");
    const TemporaryFolder folder(base);
    const FileDescriptor place(open((folder / "").c_str(), O_RDONLY | O_DIRECTORY));
    int number = 0;
    REQUIRE(rc::check([&] {
        const auto some_through = [] {
            return *rc::gen::element(PartitionFile::Through::kPageCache, PartitionFile::Through::kDisk);
        };
        const auto pieces = *rc::gen::container<std::vector<std::size_t>>(rc::gen::element<std::size_t>(
            0, 1, 100, 4095, 4096, 5'000, 16'384, 70'000, 262'144, 1 << 20, 1'500'000));
        const std::string name = std::to_string(number++);
        auto file = PartitionFile::create(place.get(), name, some_through());
        RC_ASSERT(file.has_value());
        std::string whole;
        for (const std::size_t bytes : pieces) {
            if (*rc::gen::inRange(0, 2) == 0) {
                const auto paused = file->pause();
                RC_ASSERT(paused.has_value());
                file = PartitionFile::resume(place.get(), name, some_through(), *paused);
                RC_ASSERT(file.has_value());
            }
            const std::string piece(bytes, static_cast<char>('a' + (bytes + whole.size()) % 26));
            RC_ASSERT(file->write(piece).has_value());
            whole += piece;
        }
        RC_ASSERT(file->finish().has_value());
        RC_ASSERT(contents(folder / name) == whole);
        RC_ASSERT(file->bytes() == whole.size());
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits(whole.data(), whole.size()));
        const Digest digest = file->digest();
        RC_ASSERT(std::equal(digest.begin(), digest.end(), canonical.digest));
        std::filesystem::remove(folder / name);
    }));
}

TEST_CASE("a file that cannot be written names itself and the reason") {
    const FileDescriptor devices(open("/dev", O_RDONLY | O_DIRECTORY));
    const auto taken = PartitionFile::create(devices.get(), "null");
    REQUIRE_FALSE(taken.has_value());
    REQUIRE(taken.error().message.find("null: File exists") != std::string::npos);
}

}  // namespace shoal::shuffling::test
