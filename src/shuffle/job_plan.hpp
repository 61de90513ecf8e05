// What a job settles before it starts: options checked, defaults worked out from the machine and the inputs.
#pragma once

#include <cstdint>
#include <vector>

#include "shuffle/input.hpp"
#include "shuffle/range_reader.hpp"

namespace shoal::shuffling {

// Contradictions and what is out of range; looks at nothing outside the options.
[[nodiscard]] Outcome<void> check(const ShuffleOptions& options);

[[nodiscard]] Format format_of(const ShuffleOptions& options);
[[nodiscard]] char delimiter_of(const ShuffleOptions& options, Format format) noexcept;
[[nodiscard]] unsigned workers_of(const ShuffleOptions& options) noexcept;
[[nodiscard]] std::uint64_t range_bytes_of(const ShuffleOptions& options, std::uint64_t input_bytes,
                                           unsigned workers) noexcept;

// The store's limit: five times what the rows and their headers take, and 256 MiB, but at most 0.8 of the memory
// that the machine and the control group leave. How long rows are is taken from a sample of each file. The limit
// costs nothing where it is not used, so it is generous.
[[nodiscard]] std::uint64_t memory_limit_of(const ShuffleOptions& options, const std::vector<InputFile>& files);

}  // namespace shoal::shuffling
