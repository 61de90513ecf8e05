// Standard input and output as byte streams: short counts, interruptions and non-blocking descriptors dealt with.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <shoal/bytes.hpp>

#include "tool/exit_codes.hpp"

namespace shoal::tool {

// Reads up to room.size() bytes from the descriptor. Returns how many, 0 at the end, -1 on an error (errno).
// Blocks until there is at least one byte, also on a non-blocking descriptor.
[[nodiscard]] std::ptrdiff_t read_some(int descriptor, std::span<char> room);

// Writes all of `bytes` to the descriptor. Returns 0 or the errno.
[[nodiscard]] int write_fully(int descriptor, ByteView bytes);

// Standard output, or another file that is open. Once a write has failed every later one is left out, and finish()
// tells what to exit with; a reader that has gone away (`| head`) is no failure and is passed over in silence.
class Output {
public:
    Output();
    // The descriptor remains the caller's. `name`: for messages.
    Output(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}

    // Writes the pieces one after the other, straight from where they lie, after what add() has gathered.
    // False when there is no use in writing more.
    bool write(std::span<const ByteView> pieces);

    // Gathers small pieces; they go out together, at the latest in finish().
    bool add(std::string_view text);

    // Writes out what was gathered. Returns the exit code: kOk, or kSystemError, which it has then reported.
    [[nodiscard]] ExitCode finish();

private:
    bool write_gathered();
    void stop(int error_number);

    int descriptor_;
    std::string name_;
    fmt::memory_buffer gathered_;
    bool stopped_ = false;
    ExitCode result_ = kOk;
};

}  // namespace shoal::tool
