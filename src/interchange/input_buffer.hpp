// The bytes of an input that are looked at now, in one piece of memory.
//
// Memory grows to twice what was read, never to what the input says of itself.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "interchange/rows.hpp"

namespace shoal::interchange {

class InputBuffer {
public:
    // Behind what peek() returns, `padding` bytes can be read.
    InputBuffer(ReadSome read, std::size_t padding) : read_(std::move(read)), padding_(padding) {}

    // Returns what is held, once that is `count` bytes or the input has ended: valid until the next call. Fails
    // with kSystem.
    [[nodiscard]] Result<std::string_view> peek(std::size_t count) {
        while (end_ - begin_ < count && !ended_) {
            make_room();
            const std::ptrdiff_t got = read_({memory_.get() + end_, capacity_ - end_});
            if (got < 0) {
                return tl::unexpected(
                    Error{Code::kSystem, std::string("cannot read the input: ") + std::strerror(errno), errno, 0});
            }
            ended_ = got == 0;
            end_ += static_cast<std::size_t>(got);
        }
        return std::string_view(memory_.get() + begin_, end_ - begin_);
    }
    void consume(std::size_t count) noexcept { begin_ += count; }

private:
    struct Free {
        void operator()(char* memory) const noexcept { std::free(memory); }
    };

    void make_room() {
        if (begin_ > 0) {  // what is left of it is short, mostly: it began with the last read
            std::memmove(memory_.get(), memory_.get() + begin_, end_ - begin_);
            end_ -= std::exchange(begin_, 0);
        }
        if (end_ < capacity_) return;
        const std::size_t capacity = capacity_ == 0 ? kFirstBytes : 2 * capacity_;
        auto* grown = static_cast<char*>(std::realloc(memory_.get(), capacity + padding_));
        if (grown == nullptr) throw std::bad_alloc();
        static_cast<void>(memory_.release());
        memory_.reset(grown);
        capacity_ = capacity;
        std::memset(grown + capacity, 0, padding_);
    }

    static constexpr std::size_t kFirstBytes = 256 * 1024;

    ReadSome read_;
    std::size_t padding_;
    std::unique_ptr<char, Free> memory_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool ended_ = false;
};

}  // namespace shoal::interchange
