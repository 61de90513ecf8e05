// Values without a copy: spans into the arena (and memory of their own, for what had been spilled), and what keeps
// them valid.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <shoal/bytes.hpp>

namespace shoal {

namespace detail {
class Pin;
}

// One closed cut of one value: every span is a whole record's payload (a record may be empty), in the value's
// order. It is fixed when it is made and never changes. The bytes stay valid while the Records (or any copy of
// it) lives, even when the key is erased or the Store object is gone meanwhile; a long-lived one keeps erased
// memory from reuse. Safe to hand to another thread. Do not use it after fork in the child.
class Records {
public:
    Records() noexcept = default;

    [[nodiscard]] std::size_t size() const noexcept { return spans_.size(); }  // records
    [[nodiscard]] bool empty() const noexcept { return spans_.empty(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    // Of those, bytes in memory of its own: that had been spilled and were read from files for it; of a store that
    // is read only, all.
    [[nodiscard]] std::size_t loaded_bytes() const noexcept { return loaded_bytes_; }
    [[nodiscard]] ByteView operator[](std::size_t record) const noexcept { return spans_[record]; }
    [[nodiscard]] auto begin() const noexcept { return spans_.begin(); }
    [[nodiscard]] auto end() const noexcept { return spans_.end(); }

private:
    friend class ViewBuilder;
    friend class ViewOfCopy;
    std::shared_ptr<detail::Pin> pin_;
    std::vector<ByteView> spans_;
    std::size_t bytes_ = 0;
    std::shared_ptr<std::byte[]> loaded_;
    std::size_t loaded_bytes_ = 0;
};

// The same bytes where boundaries do not matter: non-empty spans that, one after the other, are the value.
// Lifetime as for Records.
class View {
public:
    View() noexcept = default;

    [[nodiscard]] const std::vector<ByteView>& spans() const noexcept { return spans_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    // Of those, bytes in memory of its own: that had been spilled and were read from files for it; of a store that
    // is read only, all.
    [[nodiscard]] std::size_t loaded_bytes() const noexcept { return loaded_bytes_; }

private:
    friend class ViewBuilder;
    friend class ViewOfCopy;
    std::shared_ptr<detail::Pin> pin_;
    std::vector<ByteView> spans_;
    std::size_t bytes_ = 0;
    std::shared_ptr<std::byte[]> loaded_;
    std::size_t loaded_bytes_ = 0;
};

}  // namespace shoal
