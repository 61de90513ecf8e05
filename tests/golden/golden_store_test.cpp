// Stores that builds before this one wrote are read by this one, for ever; and what a later one writes is refused
// by an error that says so. How the stores of a new version are made: make_golden.cpp.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <xxhash.h>

#include <shoal/store.hpp>

#include "../spill/durable_place.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "golden_maker.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = SHOAL_GOLDEN_FOLDER;

std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << bytes;
    REQUIRE(file.flush().good());
}

// With the sum that belongs there, in its last line.
void write_text(const fs::path& path, std::string text) {
    text.resize(text.rfind("xxh3 "));
    std::array<char, 32> sum{};
    std::snprintf(sum.data(), sum.size(), "xxh3 %016llx\n",
                  static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
    write(path, text + sum.data());
}

// tests/golden/N, by N.
std::map<int, fs::path> golden_folders() {
    std::map<int, fs::path> folders;
    for (const auto& entry : fs::directory_iterator(kGolden)) {
        const std::string name = entry.path().filename().string();
        if (entry.is_directory() && name.find_first_not_of("0123456789") == std::string::npos)
            folders[std::stoi(name)] = entry.path();
    }
    REQUIRE(!folders.empty());
    return folders;
}

std::vector<fs::path> stores_in(const fs::path& folder) {
    std::vector<fs::path> stores;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (entry.is_directory()) stores.push_back(entry.path());
    }
    REQUIRE(stores.size() >= 2);
    return stores;
}

Values values_in(const fs::path& folder) {
    Values values;
    for (const auto& key : shoal_golden::parse_contents(read(folder / "contents"))) {
        for (std::size_t number = 0; number < key.records; ++number)
            values[key.name] += shoal_golden::record(key, number);
    }
    return values;
}

// A store's files in the place that its store.meta names, as they were. That place is another one for each run, or
// runs at once would meet in it: so the text's absolute paths are changed, and its sum.
class Placed {
public:
    explicit Placed(const fs::path& store) {
        fs::copy(store, path());
        REQUIRE(::chmod(path().c_str(), 0700) == 0);
        for (const auto& file : fs::directory_iterator(path())) REQUIRE(::chmod(file.path().c_str(), 0600) == 0);
        std::string text = read(meta());
        const std::size_t arena = text.find("\narena /") + 7;
        const std::size_t end = text.find('\n', arena);
        const std::size_t name = text.rfind('/', end);
        text.replace(arena, name - arena, folders_.arenas.path());
        if (const std::size_t spill = text.find("\nspill /"); spill != std::string::npos)
            text.replace(spill + 7, text.find('\n', spill + 1) - spill - 7, path());
        write_text(meta(), text);
    }
    [[nodiscard]] std::string path() const { return folders_.path(); }
    [[nodiscard]] std::string meta() const { return path() + "/store.meta"; }
    void lose_memory() const { folders_.lose_memory(); }
    [[nodiscard]] bool has_arena() const { return !folders_.arenas.entries().empty(); }
    [[nodiscard]] bool is_gone() const { return folders_.are_empty(); }

private:
    Folders folders_;
};

// Where a version stands in a store's files, and of what.
struct Version {
    fs::path file;
    std::size_t at;
    std::string of;
    std::string number;
};

// Of every magic, which is a number whose lowest byte is the version and whose others are letters; and of texts,
// where the version follows the first words, or is 1.
std::vector<Version> versions_in(const fs::path& store) {
    std::vector<Version> versions;
    for (const auto& entry : fs::directory_iterator(store)) {
        const fs::path& file = entry.path();
        const std::string bytes = read(file);
        if (bytes.starts_with("shoal ")) {
            const std::size_t at = bytes.find(' ', 6) + 1;
            const std::size_t end = bytes.find_first_of(" \n", at);
            const bool is_number = end - at < 32;  // an id, without a version before it
            versions.push_back(
                {file, at, bytes.substr(0, at - 1), is_number ? bytes.substr(at, end - at) : std::string("1")});
            continue;
        }
        for (std::size_t at = 0; at + 8 <= bytes.size(); at += 32) {
            if (bytes.compare(at + 1, 5, "SHOAL") != 0) continue;
            versions.push_back({file, at, bytes.substr(at + 1, 7),
                                std::to_string(static_cast<unsigned>(static_cast<unsigned char>(bytes[at])))});
        }
    }
    return versions;
}

std::set<std::string> names_of(const fs::path& folder) {
    std::set<std::string> names;
    for (const fs::path& store : stores_in(folder)) {
        for (const Version& version : versions_in(store)) names.insert(version.of + " " + version.number);
    }
    return names;
}

std::string listed(const std::set<std::string>& names) {
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    return all;
}

constexpr const char* kLater = "250";

// As a later build would have written it, whatever else changed in it.
void make_later(const Version& version) {
    std::string bytes = read(version.file);
    if (!bytes.starts_with("shoal ")) {
        bytes[version.at] = static_cast<char>(std::stoi(kLater));
        write(version.file, bytes);
        return;
    }
    bytes.replace(version.at, version.number.size(), kLater);
    write_text(version.file, bytes);
}

}  // namespace

TEST_CASE("Stores that each version has left at rest are restored, whole and sound, and go on") {
    for (const auto& [number, folder] : golden_folders()) {
        const Values values = values_in(folder);
        REQUIRE(values.size() > 8);
        for (const fs::path& store : stores_in(folder)) {
            CAPTURE(store.string());
            const Placed placed(store);
            const auto recovered = Store::recover(placed.path());
            REQUIRE_OK(recovered);
            CHECK(recovered->restored);
            CHECK(recovered->found.damage.empty());
            Values later = values;
            {
                auto attached = Store::attach(placed.path());
                REQUIRE_OK(attached);
                REQUIRE((values_of(*attached) == values));
                for (auto& [key, value] : later) {
                    REQUIRE_OK(attached->append(key, "later"));
                    value += "later";
                }
                REQUIRE_OK(attached->sync());
            }
            placed.lose_memory();
            {
                const auto attached = Store::attach(placed.path());
                REQUIRE_OK(attached);
                CHECK((values_of(*attached) == later));
            }
            const auto report = Store::verify(placed.path());
            REQUIRE_OK(report);
            CHECK(report->damage.empty());
            REQUIRE_OK(Store::destroy(placed.path()));
            CHECK(placed.is_gone());
        }
    }
}

TEST_CASE("The newest golden stores are of the versions that this build writes, and have every codec") {
    const TemporaryDirectory today;
    REQUIRE(shoal_golden::make_stores(today.path()) == "");
    const auto newest = *golden_folders().rbegin();
    INFO("make_golden tests/golden/" << newest.first + 1 << " makes those of this build");
    CHECK(listed(names_of(newest.second)) == listed(names_of(today.path())));
    std::set<int> codecs;
    for (const fs::path& store : stores_in(newest.second)) {
        for (const Version& version : versions_in(store)) {
            constexpr std::size_t kCodecAt = 101;  // src/FORMAT.md
            if (version.of == "SHOALEX")
                codecs.insert(static_cast<unsigned char>(read(version.file)[version.at + kCodecAt]));
        }
    }
    CHECK(codecs == std::set<int>{0, 1, 2, 3});
}

TEST_CASE("A file of a version that this build does not know is refused, and the error names both versions") {
    const auto newest = *golden_folders().rbegin();
    std::set<std::string> seen;
    for (const fs::path& store : stores_in(newest.second)) {
        for (const Version& version : versions_in(store)) {
            if (seen.contains(version.of)) continue;
            CAPTURE(version.of, version.number);
            const Placed placed(store);
            const fs::path file = fs::path(placed.path()) / version.file.filename();
            make_later({file, version.at, version.of, version.number});
            const auto is_refusal = [&](const shoal::Error& error) {
                CAPTURE(error.message);
                CHECK(error.code == Code::kIncompatible);
                CHECK(error.message.find(file.string()) != std::string::npos);
                CHECK(error.message.find(std::string("of version ") + kLater) != std::string::npos);
                const std::string words = "this build reads versions up to ";
                const std::size_t knows = error.message.find(words);
                REQUIRE(knows != std::string::npos);
                CHECK(std::stoi(error.message.substr(knows + words.size())) >= std::stoi(version.number));
            };
            const bool is_of_some_values = version.of == "SHOALEX" || version.of == "SHOALBL";
            if (!is_of_some_values) seen.insert(version.of);
            if (is_of_some_values) {
                const auto attached = Store::attach(placed.path());
                REQUIRE_OK(attached);
                std::size_t refused = 0;
                const auto keys = attached->keys();
                REQUIRE_OK(keys);
                for (const auto& key : *keys) {
                    const auto value = attached->get(key);
                    if (value) continue;
                    is_refusal(value.error());
                    refused += 1;
                }
                CHECK(refused < keys->size());
                if (refused != 0) seen.insert(version.of);  // else no key is in it any more: what it had is merged
                continue;
            }
            const std::string before = read(file);
            const auto attached = Store::attach(placed.path());
            REQUIRE_FALSE(attached.has_value());
            is_refusal(attached.error());
            const auto opened = Store::open(placed.path());
            REQUIRE_FALSE(opened.has_value());
            is_refusal(opened.error());
            const auto recovered = Store::recover(placed.path());
            REQUIRE_FALSE(recovered.has_value());
            is_refusal(recovered.error());
            CHECK_FALSE(placed.has_arena());
            CHECK((read(file) == before));
            if (file != placed.meta()) continue;  // which names all others: what is to be removed is known
            const auto destroyed = Store::destroy(placed.path());
            REQUIRE_FALSE(destroyed.has_value());
            is_refusal(destroyed.error());
            CHECK((read(file) == before));
        }
    }
    CHECK(seen.size() >= 5);
    CHECK(seen.contains("SHOALEX"));
    CHECK(seen.contains("SHOALBL"));
}
