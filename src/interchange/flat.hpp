// As much of FlatBuffers (https://flatbuffers.dev/internals) as Arrow's metadata takes: tables of scalars, vectors,
// strings and tables. Arrow's schema files are small and frozen, so their fields are numbers here, and no generated
// code or library is needed.
//
// Reading trusts nothing: what does not lie in the bytes reads as zeroes, and sound() says so.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

namespace shoal::interchange {

class FlatReader {
public:
    explicit FlatReader(std::string_view bytes) noexcept : bytes_(bytes) {}

    struct Vector {
        std::size_t at = 0;
        std::size_t count = 0;
    };

    [[nodiscard]] bool sound() const noexcept { return sound_; }
    [[nodiscard]] std::size_t root() noexcept { return follow(0); }

    template <class T>
    [[nodiscard]] T scalar(std::size_t table, unsigned field, T otherwise) noexcept {
        const std::size_t at = place(table, field);
        return at == 0 ? otherwise : read<T>(at);
    }
    // 0 where it is not there.
    [[nodiscard]] std::size_t table(std::size_t table, unsigned field) noexcept {
        const std::size_t at = place(table, field);
        return at == 0 ? 0 : follow(at);
    }
    [[nodiscard]] Vector vector(std::size_t table, unsigned field, std::size_t element_bytes) noexcept {
        const std::size_t at = this->table(table, field);
        if (at == 0) return {};
        const std::size_t count = read<std::uint32_t>(at);
        if (count * element_bytes > bytes_.size() - at) {
            sound_ = false;
            return {};
        }
        return {at + sizeof(std::uint32_t), count};
    }
    [[nodiscard]] std::string_view text(std::size_t table, unsigned field) noexcept {
        const Vector vector = this->vector(table, field, 1);
        return vector.at == 0 || !sound_ ? std::string_view() : bytes_.substr(vector.at, vector.count);
    }
    template <class T>
    [[nodiscard]] T read(std::size_t at) noexcept {
        T value{};
        if (at > bytes_.size() || bytes_.size() - at < sizeof(T)) {
            sound_ = false;
        } else {
            std::memcpy(&value, bytes_.data() + at, sizeof(T));
        }
        return value;
    }
    [[nodiscard]] std::size_t follow(std::size_t at) noexcept { return at + read<std::uint32_t>(at); }

private:
    // 0: the field has its default.
    [[nodiscard]] std::size_t place(std::size_t table, unsigned field) noexcept {
        const auto names = static_cast<std::size_t>(static_cast<std::int64_t>(table) - read<std::int32_t>(table));
        const std::size_t entry = 4 + 2 * static_cast<std::size_t>(field);
        if (entry + 2 > read<std::uint16_t>(names)) return 0;
        const std::uint16_t offset = read<std::uint16_t>(names + entry);
        return offset == 0 ? 0 : table + offset;
    }

    std::string_view bytes_;
    bool sound_ = true;
};

// Each table comes before what it refers to.
class FlatWriter {
public:
    // `field_bytes`: of each field, 0 for one that has its default. `parent`: the place that refers to it.
    std::size_t add_table(std::size_t parent, std::initializer_list<std::uint8_t> field_bytes) {
        std::uint16_t bytes = sizeof(std::int32_t);
        std::string offsets;
        for (const std::uint8_t size : field_bytes) {
            if (size > 1) bytes = static_cast<std::uint16_t>((bytes + size - 1) / size * size);
            put_to(offsets, static_cast<std::uint16_t>(size == 0 ? 0 : bytes));
            bytes = static_cast<std::uint16_t>(bytes + size);
        }
        const std::size_t names = bytes_.size();
        put(static_cast<std::uint16_t>(2 * sizeof(std::uint16_t) + offsets.size()));
        put(bytes);
        bytes_ += offsets;
        align(kAlignment, 0);
        const std::size_t table = bytes_.size();
        bytes_.append(bytes, '\0');
        align(sizeof(std::uint32_t), 0);
        set(table, static_cast<std::int32_t>(table - names));
        refer(parent, table);
        return table;
    }
    // Where a field lies that add_table() has made.
    [[nodiscard]] std::size_t place(std::size_t table, unsigned field) const {
        std::int32_t back = 0;
        std::memcpy(&back, bytes_.data() + table, sizeof back);
        std::uint16_t offset = 0;
        const std::size_t names = table - static_cast<std::size_t>(back);
        std::memcpy(&offset, bytes_.data() + names + 4 + 2 * static_cast<std::size_t>(field), sizeof offset);
        return table + offset;
    }
    template <class T>
    void set(std::size_t at, T value) {
        std::memcpy(bytes_.data() + at, &value, sizeof value);
    }
    // Space for `count` elements; the first one's place.
    std::size_t add_vector(std::size_t parent, std::size_t count, std::size_t element_bytes) {
        align(kAlignment, sizeof(std::uint32_t));
        refer(parent, bytes_.size());
        put(static_cast<std::uint32_t>(count));
        const std::size_t first = bytes_.size();
        bytes_.append(count * element_bytes, '\0');
        align(sizeof(std::uint32_t), 0);
        return first;
    }
    void add_text(std::size_t parent, std::string_view text) {
        const std::size_t at = add_vector(parent, text.size() + 1, 1);
        set(at - sizeof(std::uint32_t), static_cast<std::uint32_t>(text.size()));  // the NUL is not counted
        std::memcpy(bytes_.data() + at, text.data(), text.size());
    }
    [[nodiscard]] const std::string& finish() {
        align(kAlignment, 0);
        return bytes_;
    }

private:
    static constexpr std::size_t kAlignment = 8;

    template <class T>
    static void put_to(std::string& bytes, T value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    template <class T>
    void put(T value) {
        put_to(bytes_, value);
    }
    // Until the next place but `before` is a multiple of that.
    void align(std::size_t alignment, std::size_t before) {
        while ((bytes_.size() + before) % alignment != 0) bytes_.push_back('\0');
    }
    void refer(std::size_t from, std::size_t to) { set(from, static_cast<std::uint32_t>(to - from)); }

    std::string bytes_ = std::string(sizeof(std::uint32_t), '\0');  // the root's place
};

}  // namespace shoal::interchange
