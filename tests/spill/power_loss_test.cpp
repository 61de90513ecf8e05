// After a loss of the machine's memory, and with files that are cut short or changed: a store gives what was
// synced, or an error that says which file, where and, of an extent, which key. Never other bytes.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "../store/pattern.hpp"
#include "../store/result_checks.hpp"
#include "catch.hpp"
#include "durable_place.hpp"

using namespace shoal_test;
using shoal::Code;
using shoal::Store;

namespace {

std::string bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void write_byte(const std::string& path, std::size_t at, char byte) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
}

// A synced store that nobody has open, and whose arena is gone. Its files are kept, so that each damage is done to
// them as they were.
class Lost {
public:
    explicit Lost(const std::string& codec, bool has_delta = false) {
        {
            auto store = Store::open(place.path(), place.options(8 * kMiB, codec));
            REQUIRE_OK(store);
            for (std::uint64_t key = 0; key < 12; ++key) {
                for (std::uint64_t record = 0; record < 20; ++record) {
                    REQUIRE_OK(store->append("key " + std::to_string(key), text(record * 97 + key)));
                }
                if (key == 6) REQUIRE_OK(store->spill());
            }
            REQUIRE_OK(store->append("large", text(kMiB + 4321)));
            if (has_delta) {
                REQUIRE_OK(store->sync());
                base_path = place.checkpoint();
                base = bytes_of(base_path);
                REQUIRE_OK(store->append("key 1", text(500)));
                REQUIRE(store->erase("key 2").value());
                REQUIRE_OK(store->append("new", text(30'000)));
            }
            values = values_of(*store);
            REQUIRE_OK(store->sync());
            REQUIRE_OK(store->append("not synced", text(30'000)));
            REQUIRE_OK(store->spill());
        }
        place.lose_memory();
        for (const std::string& file : place.spill_files()) files[file] = bytes_of(file);
        checkpoint = bytes_of(place.checkpoint());
    }

    // Opens the store and compares; what is wrong, "" for nothing. `errors`: how many keys gave one.
    [[nodiscard]] std::string look(int* errors) const {
        const auto store = Store::open(place.path(), place.options(8 * kMiB));
        EXPECT_OK(store);
        const auto keys = store->keys();
        EXPECT_OK(keys);
        EXPECT(keys->size() == values.size());
        for (const auto& [key, value] : values) {
            const auto got = store->get(key);
            if (!got) {
                EXPECT_CODE(got, Code::kDamaged);
                EXPECT(got.error().message.find(".spill") != std::string::npos);
                EXPECT(got.error().message.find("extent at ") != std::string::npos);
                *errors += 1;
            } else {
                EXPECT(got->text() == value);
            }
        }
        return "";
    }

    void put_back() const {
        place.lose_memory();
        for (const std::string& file : place.spill_files()) std::filesystem::remove(file);
        for (const auto& [file, bytes] : files) write_file(file, bytes);
        write_file(checkpoint_path, checkpoint);
    }

    DurablePlace place;
    Values values;
    Values files;
    std::string checkpoint;
    std::string checkpoint_path;
    std::string base;  // of which that is a delta; empty for none
    std::string base_path;

private:
    static std::string text(std::size_t bytes) {  // half of it compresses
        std::string some = pattern(bytes, bytes);
        for (std::size_t at = 0; at < bytes / 2; ++at) some[at] = static_cast<char>('a' + at / 9 % 20);
        return some;
    }
};

}  // namespace

TEST_CASE("spill files cut short at any block give the synced values or name the extent") {
    const std::string codec = GENERATE("none", "lz4");
    CAPTURE(codec);
    Lost lost(codec, codec == "lz4");
    lost.checkpoint_path = lost.place.checkpoint();
    int whole = 0;
    CHECK(lost.look(&whole) == "");
    CHECK(whole == 0);
    int errors = 0;
    for (const auto& [file, bytes] : lost.files) {
        lost.put_back();
        for (std::size_t end = bytes.size() / 4096 * 4096 + 4096; end >= 4096;) {
            end -= 4096;
            lost.place.lose_memory();
            std::filesystem::resize_file(file, end);
            const std::string wrong = lost.look(&errors);
            if (!wrong.empty()) {
                CAPTURE(file, end);
                CHECK(wrong == "");
            }
        }
    }
    CHECK(errors > 0);
}

TEST_CASE("a flipped bit in a spill file gives the synced values or names the extent") {
    const std::string codec = GENERATE("none", "lz4");
    CAPTURE(codec);
    Lost lost(codec);
    lost.checkpoint_path = lost.place.checkpoint();
    int errors = 0;
    std::uint64_t random = 7;
    for (int turn = 0; turn < 150; ++turn) {
        const auto& [file, bytes] =
            *std::next(lost.files.begin(), static_cast<long>(next_random(random) % lost.files.size()));
        const std::size_t at = next_random(random) % bytes.size();
        write_byte(file, at, static_cast<char>(bytes[at] ^ (1 << next_random(random) % 8)));
        lost.place.lose_memory();
        const std::string wrong = lost.look(&errors);
        write_byte(file, at, bytes[at]);
        if (!wrong.empty()) {
            CAPTURE(file, at);
            CHECK(wrong == "");
        }
    }
    CHECK(errors > 0);
}

TEST_CASE("a checkpoint that is cut short or changed anywhere is refused by name, and the store is as it was") {
    const bool has_delta = GENERATE(false, true);
    Lost lost("none", has_delta);
    lost.checkpoint_path = lost.place.checkpoint();
    REQUIRE((lost.checkpoint_path != lost.base_path && lost.base.empty() != has_delta));
    std::uint64_t random = 3;
    for (int turn = 0; turn < 300; ++turn) {
        const bool of_base = has_delta && turn % 2 == 0;
        std::string changed = of_base ? lost.base : lost.checkpoint;
        const std::string& path = of_base ? lost.base_path : lost.checkpoint_path;
        const std::size_t at = next_random(random) % changed.size();
        if (turn % 3 == 0) {
            changed.resize(at);
        } else {
            changed[at] = static_cast<char>(changed[at] ^ (1 << next_random(random) % 8));
        }
        if (has_delta)
            write_file(of_base ? lost.checkpoint_path : lost.base_path, of_base ? lost.checkpoint : lost.base);
        write_file(path, changed);
        const auto store = Store::open(lost.place.path(), lost.place.options(8 * kMiB));
        CAPTURE(at, turn);
        const bool refused = !store.has_value();
        REQUIRE(refused);
        const bool by_name = store.error().message.find(path) != std::string::npos;
        CHECK((store.error().code == Code::kDamaged || store.error().code == Code::kIncompatible));
        CHECK(by_name);
        CHECK_FALSE(lost.place.has_arena());
    }
    lost.put_back();
    if (has_delta) write_file(lost.base_path, lost.base);
    int errors = 0;
    CHECK(lost.look(&errors) == "");
    CHECK(errors == 0);
}

TEST_CASE("a spill file that is gone costs the keys that were in it, and names it") {
    Lost lost("none");
    lost.checkpoint_path = lost.place.checkpoint();
    std::filesystem::remove(lost.files.begin()->first);
    int errors = 0;
    CHECK(lost.look(&errors) == "");
    CHECK(errors > 0);
}
