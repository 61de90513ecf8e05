// The bytes of backups: those that earlier builds wrote are read, and what a writer writes a reader reads, part by
// part.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "../store/pattern.hpp"
#include "backup/reader.hpp"
#include "backup/varint.hpp"
#include "catch.hpp"
#include "contents.hpp"

using namespace shoal_test;
using shoal::BackupReader;
using shoal::BackupWriter;
using shoal::ByteView;
using shoal::Code;

namespace {

shoal::BackupSource source_of(const std::string& bytes, std::size_t& taken) {
    return [&](std::span<std::byte> room) -> shoal::Result<std::size_t> {
        const std::size_t some = std::min(room.size(), bytes.size() - taken);
        if (some != 0) std::memcpy(room.data(), bytes.data() + taken, some);
        taken += some;
        return some;
    };
}

// Writes chunks by hand.
class Made {
public:
    Made() : writer_(sink_, {}) {
        shoal::BackupHeader header{};
        header.magic = shoal::kBackupMagic;
        header.checksum = checksum_of(header);
        REQUIRE_OK(writer_.begin(header));
    }
    void part(const std::string& key, std::uint32_t flags, const std::vector<std::string>& records) {
        std::vector<std::uint64_t> lengths;
        for (const std::string& record : records) {
            lengths.push_back(record.size());
            const auto* data = reinterpret_cast<const std::byte*>(record.data());
            body_.insert(body_.end(), data, data + record.size());
        }
        writer_.add_part(key, 0, flags, lengths);
    }
    void voided(const std::string& key, std::uint64_t records, std::uint64_t bytes) {
        writer_.add_void(key, records, bytes);
    }
    void end_chunk() {
        REQUIRE_OK(writer_.end_chunk(body_, std::nullopt));
        body_.clear();
    }
    const std::string& finish() {
        REQUIRE_OK(writer_.finish());
        return bytes_;
    }

private:
    std::string bytes_;
    shoal::BackupSink sink_ = [this](ByteView bytes) -> shoal::Result<void> {
        bytes_ += bytes.text();
        return {};
    };
    BackupWriter writer_;
    std::vector<std::byte> body_;
};

// What is read of it, or the error.
shoal::Result<Contents> read_all(const std::string& bytes) {
    std::size_t taken = 0;
    const auto source = source_of(bytes, taken);
    BackupReader reader(source, "the backup");
    if (auto begun = reader.begin(); !begun) return tl::unexpected(begun.error());
    Contents contents;
    for (;;) {
        const auto more = reader.next_chunk();
        if (!more) return tl::unexpected(more.error());
        if (!*more) break;
        for (BackupReader::Part part;;) {
            const auto has_part = reader.next_part(part);
            if (!has_part) return tl::unexpected(has_part.error());
            if (!*has_part) break;
            const std::string key(part.key.text());
            if (part.voids) contents.erase(key);
            const std::byte* payload = part.payload.data();
            for (const std::uint64_t length : part.lengths) {
                contents[key].emplace_back(ByteView(payload, length).text());
                payload += length;
            }
        }
    }
    if (auto ended = reader.finish(); !ended) return tl::unexpected(ended.error());
    return contents;
}

}  // namespace

TEST_CASE("Backups that earlier builds wrote are restored") {
    Contents wanted{
        {"apple", {"red,", "green,"}}, {"empty", {""}}, {std::string("\xff\0", 2), {"of a key that is no text"}}};
    for (int line = 1; line <= 40; ++line) wanted["many"].push_back(std::to_string(line) + "\n");
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(SHOAL_BACKUP_GOLDEN)) {
        INFO(entry.path());
        const BackupPlace place;
        REQUIRE_OK(shoal::Store::restore(entry.path(), place.restored(), place.options(8 * kMiB)));
        auto store = shoal::Store::attach(place.restored());
        REQUIRE_OK(store);
        CHECK(difference(contents_of(*store), wanted) == "");
        ++files;
    }
    CHECK(files == 3);
}

TEST_CASE("Parts of a key in several chunks are one value, and parts that are void are none") {
    Made made;
    made.part("before", shoal::kPartBegins | shoal::kPartEnds, {"a", "", "long record"});
    made.part("long", shoal::kPartBegins, {"1", "2"});
    made.end_chunk();
    made.part("long", 0, {"3", "44"});
    made.end_chunk();
    made.part("long", shoal::kPartEnds, {"5"});
    made.part("erased", shoal::kPartBegins, {"x", "y"});
    made.end_chunk();
    made.voided("erased", 2, 2);
    made.part("made anew", shoal::kPartBegins, {"x"});
    made.end_chunk();
    made.voided("made anew", 1, 1);
    made.part("made anew", shoal::kPartBegins | shoal::kPartEnds, {"new", "new"});
    made.end_chunk();
    const auto read = read_all(made.finish());
    REQUIRE_OK(read);
    CHECK(difference(*read, {{"before", {"a", "", "long record"}},
                             {"long", {"1", "2", "3", "44", "5"}},
                             {"made anew", {"new", "new"}}}) == "");
}

TEST_CASE("Parts in an order that no backup has are damage") {
    Made made;
    const int way = GENERATE(0, 1, 2, 3, 4);
    made.part("key", shoal::kPartBegins, {"1"});
    if (way == 0) made.part("key", shoal::kPartBegins, {"2"});
    if (way == 1) made.part("another", 0, {"2"});
    if (way == 2) made.part("another", shoal::kPartBegins | shoal::kPartEnds, {"2"});
    if (way == 3) made.voided("another", 0, 0);
    if (way == 4) made.voided("key", 0, 0);  // counts what it does not
    made.end_chunk();
    REQUIRE_CODE(read_all(made.finish()), Code::kDamaged);
}

TEST_CASE("A value that does not end, and a chunk that is missing or there twice, are damage") {
    Made made;
    made.part("key", shoal::kPartBegins, {"1"});
    made.end_chunk();
    const bool ends = GENERATE(true, false);
    if (ends) made.part("key", shoal::kPartEnds, {"2"});
    if (ends) made.end_chunk();
    const std::string bytes = made.finish();
    if (!ends) REQUIRE_CODE(read_all(bytes), Code::kDamaged);
    if (ends) REQUIRE_OK(read_all(bytes));
    const std::size_t first = sizeof(shoal::BackupHeader);
    const std::size_t chunk = sizeof(shoal::BackupChunk) + 1 + sizeof(shoal::BackupPart) + 3;
    REQUIRE_CODE(read_all(bytes.substr(0, first) + bytes.substr(first + chunk)), Code::kDamaged);
    REQUIRE_CODE(read_all(bytes.substr(0, first + chunk) + bytes.substr(first)), Code::kDamaged);
}

TEST_CASE("A length is read as it was written, and in its shortest form alone") {
    for (const std::uint64_t length : {0ULL, 1ULL, 127ULL, 128ULL, 300ULL, 1ULL << 32, ~0ULL >> 1, ~0ULL}) {
        std::vector<std::byte> bytes;
        shoal::add_length(bytes, length);
        std::uint64_t read = 0;
        const std::byte* at = bytes.data();
        REQUIRE(shoal::read_length(&at, bytes.data() + bytes.size(), &read));
        CHECK(read == length);
        CHECK(at == bytes.data() + bytes.size());
        at = bytes.data();
        CHECK_FALSE(shoal::read_length(&at, bytes.data() + bytes.size() - 1, &read));
    }
    const std::vector<std::byte> longer{std::byte{0x81}, std::byte{0}};
    std::uint64_t read = 0;
    const std::byte* at = longer.data();
    CHECK_FALSE(shoal::read_length(&at, longer.data() + longer.size(), &read));
    const std::vector<std::byte> too_long(11, std::byte{0xff});
    at = too_long.data();
    CHECK_FALSE(shoal::read_length(&at, too_long.data() + too_long.size(), &read));
}
