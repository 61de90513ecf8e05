// shoal.View: a value's bytes where they lie, as memoryviews.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <variant>

#include <nanobind/nanobind.h>

#include <shoal/view.hpp>

namespace shoal::python {

// Consecutive pieces of one cut. A memoryview of a piece is one of a View of that piece alone, which holds the cut:
// so the bytes stay as long as any of them does.
class PieceRange {
public:
    explicit PieceRange(View&& view);
    explicit PieceRange(Records&& records);
    PieceRange(const PieceRange& from, std::size_t first, std::size_t count);

    [[nodiscard]] std::span<const ByteView> pieces() const noexcept { return pieces_; }
    [[nodiscard]] std::size_t bytes() const noexcept;
    // Of all of the cut.
    [[nodiscard]] std::size_t loaded_bytes() const noexcept;
    // Raises in a process that was forked since: there nothing keeps the bytes.
    void check_process() const;

private:
    std::shared_ptr<const std::variant<View, Records>> cut_;
    std::span<const ByteView> pieces_;
    unsigned forks_ = 0;  // of this process's line, when the cut was made
};

void bind_view(nanobind::module_& module);

}  // namespace shoal::python
