// What holds of both formats.
#include <cerrno>

#include "catch.hpp"
#include "memory_rows.hpp"

using namespace shoal_test;

TEST_CASE("Rows that are written are read again, whatever their bytes, in every size of batch and of read") {
    std::mt19937_64 random(15);
    for (const Format& format : {kArrow, kJson}) {
        for (int round = 0; round < 30; ++round) {
            const Rows rows = random_rows(random, random() % 200, 5'000);
            const std::size_t batch_bytes = std::size_t{1} << random() % 20;
            const std::string bytes = written(format, rows, batch_bytes);
            for (const std::size_t at_once : {std::size_t{1} << random() % 8, ~std::size_t{0}}) {
                const Read again = read(format, bytes, at_once);
                CHECK(again.error == "");
                CHECK(again.rows == rows);
            }
        }
    }
}

TEST_CASE("A record that is larger than a batch, and than what is read at once, comes through") {
    const Rows rows = {{"key", std::string(3'000'000, 'r')}, {"key", ""}, {"", std::string(70'000, '\xFF')}};
    for (const Format& format : {kArrow, kJson}) {
        CHECK(read(format, written(format, rows, 1'000), 4'096).rows == rows);
    }
}

TEST_CASE("No more is gathered than was asked for") {
    const Rows rows(10'000, {"a key", "a record of some bytes"});
    std::size_t largest = 0;
    static_cast<void>(written(kArrow, rows, 10'000, &largest));
    CHECK(largest < 11'000);
    largest = 0;
    static_cast<void>(written(kJson, rows, 10'000, &largest));
    CHECK(largest < 11'000);
}

TEST_CASE("Writing ends when there is no use in more") {
    for (const Format& format : {kArrow, kJson}) {
        int calls = 0;
        const auto writer = format.write(
            [&](std::span<const shoal::ByteView>) {
                ++calls;
                return false;
            },
            10);
        CHECK_FALSE(writer->add("key", "a record"));
        CHECK(calls == 1);
    }
}

TEST_CASE("Rows from before an error of the input come first, and then the error") {
    for (const Format& format : {kArrow, kJson}) {
        const std::string bytes = written(format, {{"a", "1"}, {"b", "2"}}, 1);
        const auto reader = format.read([left = std::string_view(bytes).substr(0, bytes.size() - 1)](
                                            std::span<char> room) mutable -> std::ptrdiff_t {
            if (left.empty()) {
                errno = EIO;
                return -1;
            }
            const std::size_t count = std::min({room.size(), left.size(), std::size_t{8}});
            std::memcpy(room.data(), left.data(), count);
            left.remove_prefix(count);
            return static_cast<std::ptrdiff_t>(count);
        });
        std::size_t rows = 0;
        auto next = reader->next();
        for (; next && !next->empty(); next = reader->next()) rows += next->size();
        REQUIRE_FALSE(next.has_value());
        CHECK(next.error().code == shoal::Code::kSystem);
        CHECK(next.error().system_errno == EIO);
        CHECK(rows >= 1);
    }
}
