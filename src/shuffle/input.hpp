// The inputs of a job: opened, made seekable where they are not, headers read and compared.
//
// Read-only files are shared with the workers by fork and read with pread, so nobody moves another's position. A
// crash leaves nothing: the copy of standard input is unlinked before it is filled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shuffle/interruption.hpp"
#include "shuffle/row_scanner.hpp"

namespace shoal::shuffling {

struct InputFile {
    std::string name;  // for messages: as given, or "standard input"
    FileDescriptor fd;
    std::uint64_t size = 0;
    std::uint64_t rows_begin =
        0;  // offset of the first row: behind byte order mark, header and blank lines above it
    std::uint64_t blank_lines = 0;  // above the header
    std::string header;             // CSV, TSV: with its terminator; empty when the file has none
    std::string terminator = "\n";  // what ends the file's first row; a last row without one gets it

    // pread until `bytes` are there or the file ends; the number of bytes read.
    [[nodiscard]] Outcome<std::size_t> read_at(std::uint64_t offset, char* buffer, std::size_t bytes) const;
};

// Opens `path`, or copies it to an unlinked file in `spool_folder` when it cannot be read at any offset.
[[nodiscard]] Outcome<InputFile> open_input(const std::string& path, const std::string& spool_folder,
                                            Interruption& interruption);

// Finds the first row, the terminator and the header. A malformed header is a failure, a file without one is not.
[[nodiscard]] Outcome<void> read_header(InputFile& file, Format format, char delimiter);

// What the headers agree on; the number of columns is 0 when no input has one. Failures: headers that differ (names
// both files and the first differing column), a column that is not there or is there twice.
[[nodiscard]] Outcome<RowShape> shape_of(const std::vector<InputFile>& files, Format format, char delimiter,
                                         const std::string& by);

// The physical line, from 1, on which the byte at `offset` lies. Reads the file up to there.
[[nodiscard]] Outcome<std::uint64_t> line_of(const InputFile& file, std::uint64_t offset);

}  // namespace shoal::shuffling
