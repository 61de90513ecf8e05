// Bytes as they go in (ByteView, not owned) and as they come out (Bytes, owned).
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shoal {

// Any contiguous bytes of the caller's: text, a span, a vector. Not owned and not copied; it must stay
// valid during the call that it is passed to.
class ByteView {
public:
    constexpr ByteView() noexcept = default;
    constexpr ByteView(const std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
    ByteView(const void* data, std::size_t size) noexcept
        : data_(static_cast<const std::byte*>(data)), size_(size) {}
    ByteView(std::string_view text) noexcept : ByteView(static_cast<const void*>(text.data()), text.size()) {}
    ByteView(const std::string& text) noexcept : ByteView(std::string_view(text)) {}
    ByteView(const char* text) noexcept : ByteView(std::string_view(text)) {}  // up to its first NUL
    ByteView(std::nullptr_t) = delete;                                         // an empty record is ""
    constexpr ByteView(std::span<const std::byte> bytes) noexcept : ByteView(bytes.data(), bytes.size()) {}
    ByteView(const std::vector<std::byte>& bytes) noexcept : ByteView(bytes.data(), bytes.size()) {}

    [[nodiscard]] constexpr const std::byte* data() const noexcept { return data_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    [[nodiscard]] constexpr bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
    [[nodiscard]] constexpr std::span<const std::byte> span() const noexcept { return {data_, size_}; }
    friend bool operator==(ByteView a, ByteView b) noexcept {
        return a.size_ == b.size_ && (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
    }

private:
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

// Owned bytes: a value as get() returns it. Movable; unlike std::string it is not zeroed before it is filled.
class Bytes {
public:
    Bytes() noexcept = default;
    explicit Bytes(std::size_t size) : data_(new std::byte[size]), size_(size) {}

    [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
    [[nodiscard]] const std::byte* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::string_view text() const noexcept { return ByteView(*this).text(); }
    [[nodiscard]] std::string str() const { return std::string(text()); }
    void shrink(std::size_t size) noexcept { size_ = size < size_ ? size : size_; }
    operator ByteView() const noexcept { return {data_.get(), size_}; }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0;
};

}  // namespace shoal
