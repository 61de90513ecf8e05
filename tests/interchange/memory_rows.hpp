// Rows in memory: written to a string, and read from one.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "interchange/rows.hpp"

namespace shoal_test {

using Rows = std::vector<std::pair<std::string, std::string>>;

struct Format {
    std::unique_ptr<shoal::interchange::RowWriter> (*write)(shoal::interchange::WriteAll, std::size_t);
    std::unique_ptr<shoal::interchange::RowReader> (*read)(shoal::interchange::ReadSome);
};
inline constexpr Format kArrow{&shoal::interchange::write_arrow, &shoal::interchange::read_arrow};
inline constexpr Format kJson{&shoal::interchange::write_json_lines, &shoal::interchange::read_json_lines};

inline std::string written(const Format& format, const Rows& rows, std::size_t batch_bytes = 4 << 20,
                           std::size_t* largest = nullptr) {
    std::string bytes;
    const auto writer = format.write(
        [&](std::span<const shoal::ByteView> pieces) {
            const std::size_t before = bytes.size();
            for (const shoal::ByteView piece : pieces) bytes += piece.text();
            if (largest != nullptr) *largest = std::max(*largest, bytes.size() - before);
            return true;
        },
        batch_bytes);
    bool good = true;
    for (const auto& [key, record] : rows) good = writer->add(key, record) && good;
    return writer->finish() && good ? bytes : "it was not written";
}

struct Read {
    Rows rows;
    std::string error;  // "" where all was read
    shoal::Code code{};
};

// `at_once`: bytes that one read brings, at most.
inline Read read(const Format& format, std::string_view bytes, std::size_t at_once = ~std::size_t{0}) {
    Read result;
    const auto reader = format.read([&](std::span<char> room) {
        const std::size_t count = std::min({room.size(), bytes.size(), at_once});
        std::memcpy(room.data(), bytes.data(), count);
        bytes.remove_prefix(count);
        return static_cast<std::ptrdiff_t>(count);
    });
    for (;;) {
        const auto rows = reader->next();
        if (!rows) {
            result.error = rows.error().message;
            result.code = rows.error().code;
            const auto again = reader->next();  // stays so
            if (again || again.error().message != result.error) result.error = "another error the second time";
            return result;
        }
        if (rows->empty()) return result;
        for (const shoal::Pair& row : *rows) result.rows.emplace_back(row.key.text(), row.value.text());
    }
}

// Keys and records of all bytes and lengths; some are text.
inline Rows random_rows(std::mt19937_64& random, std::size_t count, std::size_t most_bytes) {
    const auto text = [&] {
        std::string bytes(random() % 3 == 0 ? random() % most_bytes : random() % 20, '\0');
        const bool is_ascii = random() % 2 == 0;
        for (char& byte : bytes) byte = static_cast<char>(random() % (is_ascii ? 128 : 256));
        return bytes;
    };
    Rows rows;
    for (; count > 0; --count) rows.emplace_back(text(), text());
    return rows;
}

}  // namespace shoal_test
