#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "interchange/input_buffer.hpp"
#include "interchange/rows.hpp"

namespace shoal::interchange {
namespace {

constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kPieceBytes = 48 * 1024;  // of a value that are written at once; whole groups of three
constexpr std::size_t kRowsBytes = 1 << 20;     // of rows that are returned at once, or one larger row

// --- writing ---

void add_escaped(std::string& out, std::string_view text) {
    std::size_t plain = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        out += text.substr(plain, at - plain);
        plain = at + 1;
        switch (byte) {
            case '"':
            case '\\':
                out += '\\';
                out += static_cast<char>(byte);
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
        }
    }
    out += text.substr(plain);
}

void add_base64(std::string& out, std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t count = std::min<std::size_t>(bytes.size() - at, 3);
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0U);
        }
        for (std::size_t i = 0; i < 4; ++i) out += i <= count ? kDigits[group >> (18 - 6 * i) & 63] : '=';
    }
}

class JsonWriter final : public RowWriter {
public:
    JsonWriter(WriteAll write, std::size_t batch_bytes) : write_(std::move(write)), batch_bytes_(batch_bytes) {}

    bool add(ByteView key, ByteView record) override {
        return add_member("{\"key", key.text()) && add_member("\",\"record", record.text()) && add_end();
    }
    bool finish() override {
        const ByteView bytes(gathered_);
        const bool written = bytes.empty() || write_({&bytes, 1});
        gathered_.clear();
        return written;
    }

private:
    bool add_member(std::string_view name, std::string_view value) {
        const bool is_text = simdjson::validate_utf8(value.data(), value.size());
        gathered_ += name;
        gathered_ += is_text ? "\":\"" : "_base64\":\"";
        while (!value.empty()) {
            const std::string_view piece = value.substr(0, kPieceBytes);
            value.remove_prefix(piece.size());
            is_text ? add_escaped(gathered_, piece) : add_base64(gathered_, piece);
            if (gathered_.size() >= batch_bytes_ && !finish()) return false;
        }
        return true;
    }
    bool add_end() {
        gathered_ += "\"}\n";
        return gathered_.size() < batch_bytes_ || finish();
    }

    WriteAll write_;
    std::size_t batch_bytes_;
    std::string gathered_;
};

// --- reading ---

constexpr std::array<std::int8_t, 256> kDigitValues = [] {
    std::array<std::int8_t, 256> values{};
    values.fill(-1);
    for (std::size_t digit = 0; digit < kDigits.size(); ++digit) {
        values[static_cast<unsigned char>(kDigits[digit])] = static_cast<std::int8_t>(digit);
    }
    return values;
}();

// Adds the bytes; false where the text is not base64 with padding.
bool add_decoded(std::string& out, std::string_view text) {
    if (text.size() % 4 != 0) return false;
    for (std::size_t at = 0; at < text.size(); at += 4) {
        const bool is_last = at + 4 == text.size();
        const std::size_t padding = is_last && text[at + 3] == '=' ? (text[at + 2] == '=' ? 2 : 1) : 0;
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const int value = i >= 4 - padding ? 0 : kDigitValues[static_cast<unsigned char>(text[at + i])];
            if (value < 0) return false;
            group = group << 6 | static_cast<std::uint32_t>(value);
        }
        if ((group & ((1U << 8 * padding) - 1)) != 0) return false;  // bits of no byte
        for (std::size_t i = 0; i < 3 - padding; ++i) out += static_cast<char>(group >> (16 - 8 * i) & 0xFF);
    }
    return true;
}

class JsonReader final : public RowReader {
public:
    explicit JsonReader(ReadSome read) : input_(std::move(read), simdjson::SIMDJSON_PADDING) {}

    Result<std::span<const Pair>> next() override {
        bytes_.clear();
        places_.clear();
        while (!failure_ && !ended_ && bytes_.size() < kRowsBytes && places_.size() < kRowsBytes / 64) {
            if (const auto taken = take_line(); !taken) failure_ = taken.error();
        }
        if (places_.empty() && failure_) return tl::unexpected(*failure_);
        rows_.clear();
        for (const Place& place : places_) {
            const std::string_view all = bytes_;
            rows_.emplace_back(all.substr(place.at, place.key_bytes),
                               all.substr(place.at + place.key_bytes, place.record_bytes));
        }
        return std::span<const Pair>(rows_);
    }

private:
    struct Place {
        std::size_t at = 0;  // in bytes_
        std::size_t key_bytes = 0;
        std::size_t record_bytes = 0;
    };

    [[nodiscard]] tl::unexpected<Error> bad(const std::string& why) const {
        return tl::unexpected(Error{Code::kInvalidArgument,
                                    fmt::format("row {}, line {}: {}", row_number_ + 1, line_number_, why), 0, 0});
    }

    Result<void> take_line() {
        std::size_t searched = 0;
        std::string_view line;
        for (;;) {
            const auto bytes = input_.peek(searched + 1);
            if (!bytes) return tl::unexpected(bytes.error());
            ended_ = bytes->size() == searched;
            const std::size_t newline = bytes->find('\n', searched);
            line = bytes->substr(0, newline);
            if (newline != std::string_view::npos || ended_) break;
            searched = bytes->size();
        }
        const std::size_t held = line.size() + (ended_ ? 0 : 1);
        ++line_number_;
        Result<void> taken;
        if (line.find_first_not_of(" \t\r") != std::string_view::npos) taken = take_row(line);
        input_.consume(held);
        return taken;
    }

    Result<void> take_row(std::string_view line) {
        if (line.starts_with("\xFF\xFF\xFF\xFF") || line.starts_with("ARROW1")) {
            return bad("this looks like Arrow: leave --jsonl away");
        }
        simdjson::dom::element document;
        // Behind the line there is the rest of the buffer, or its padding.
        const auto error = parser_.parse(line.data(), line.size(), false).get(document);
        if (error != simdjson::SUCCESS) return bad(simdjson::error_message(error));
        simdjson::dom::object object;
        if (document.get(object) != simdjson::SUCCESS) return bad("it is no JSON object");
        std::optional<std::string_view> key;
        std::optional<std::string_view> record;
        bool key_is_base64 = false;
        bool record_is_base64 = false;
        for (const auto member : object) {
            const bool is_key = member.key.starts_with("key");
            const std::string_view rest = member.key.substr(std::min(member.key.size(), is_key ? 3UL : 6UL));
            if ((!is_key && !member.key.starts_with("record")) || (rest != "" && rest != "_base64")) {
                return bad(
                    fmt::format("its member \"{}\" is not known: there are key, key_base64, record and "
                                "record_base64",
                                member.key.substr(0, 100)));
            }
            std::string_view text;
            if (member.value.get(text) != simdjson::SUCCESS) {
                return bad(fmt::format("its member \"{}\" is no string", member.key));
            }
            if (is_key ? key.has_value() : record.has_value()) {
                return bad(fmt::format("it has two members for its {}", is_key ? "key" : "record"));
            }
            (is_key ? key : record) = text;
            (is_key ? key_is_base64 : record_is_base64) = !rest.empty();
        }
        if (!key || !record) return bad(fmt::format("it has no {}", key ? "record" : "key"));
        Place place{bytes_.size(), 0, 0};
        if (!add_value(*key, key_is_base64)) return bad("its key_base64 is no base64 with padding");
        place.key_bytes = bytes_.size() - place.at;
        if (!add_value(*record, record_is_base64)) return bad("its record_base64 is no base64 with padding");
        place.record_bytes = bytes_.size() - place.at - place.key_bytes;
        places_.push_back(place);
        ++row_number_;
        return {};
    }
    bool add_value(std::string_view text, bool is_base64) {
        if (is_base64) return add_decoded(bytes_, text);
        bytes_ += text;
        return true;
    }

    InputBuffer input_;
    simdjson::dom::parser parser_;
    std::string bytes_;  // of the rows
    std::vector<Place> places_;
    std::vector<Pair> rows_;
    std::optional<Error> failure_;
    std::uint64_t line_number_ = 0;
    std::uint64_t row_number_ = 0;
    bool ended_ = false;
};

}  // namespace

std::unique_ptr<RowReader> read_json_lines(ReadSome read) { return std::make_unique<JsonReader>(std::move(read)); }

std::unique_ptr<RowWriter> write_json_lines(WriteAll write, std::size_t batch_bytes) {
    return std::make_unique<JsonWriter>(std::move(write), batch_bytes);
}

}  // namespace shoal::interchange
