// Rows of a key and a record each, as other systems read and write them: `shoal export` and `shoal import`.
//
// A store's value becomes one row per record, in the order of the records; rows of one key follow each other. Two
// formats:
//
//   Arrow IPC stream  https://arrow.apache.org/docs/format/Columnar.html, metadata version V5, little endian.
//     Written: the columns `key` (binary) and `record` (large_binary), neither nullable; no dictionary, no
//     compression; buffers padded to 8 bytes; the end-of-stream mark at the end. An empty store is a stream without
//     a record batch.
//     Read: exactly those two columns, in either order, each binary, utf8, large_binary, large_utf8, binary_view or
//     utf8_view, without a null; batches of any size, plain or compressed by LZ4 or Zstandard; several streams
//     one after the other. Not the file format ("Feather"), which is read from its end.
//   JSON lines  one object per line, UTF-8, with two members in either order:
//     "key" or "key_base64", and "record" or "record_base64". Written: text where the bytes are UTF-8, base64
//     (RFC 4648, section 4, with padding) where they are not. Blank lines are passed over when read.
//
// Thread safety: an object is one thread's. Memory: a writer holds one batch; a reader one record batch or one line
// of its input, and what its rows are made of. The input is not trusted: memory grows with what was read,
// and with what compressed buffers have become, not by the lengths that stand in it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include <shoal/bytes.hpp>
#include <shoal/error.hpp>
#include <shoal/key.hpp>

namespace shoal::interchange {

inline constexpr std::size_t kBatchBytes = 4 << 20;  // of rows at once, where the user says nothing else

// Reads up to room.size() bytes. Returns how many, 0 at the end, -1 on an error (errno).
using ReadSome = std::function<std::ptrdiff_t(std::span<char> room)>;

// Writes the pieces one after the other. Returns false when there is no use in writing more.
using WriteAll = std::function<bool(std::span<const ByteView> pieces)>;

class RowReader {
public:
    virtual ~RowReader() = default;

    // Returns the rows that follow, valid until the next call; none at the end of the input. Fails with
    // kInvalidArgument if the input is not what it should be: the message names the row, and every row before it
    // was returned; with kSystem if it cannot be read.
    [[nodiscard]] virtual Result<std::span<const Pair>> next() = 0;
};

class RowWriter {
public:
    virtual ~RowWriter() = default;

    // Both return false when there is no use in writing more. finish() comes after the last row.
    [[nodiscard]] virtual bool add(ByteView key, ByteView record) = 0;
    [[nodiscard]] virtual bool finish() = 0;
};

[[nodiscard]] std::unique_ptr<RowReader> read_arrow(ReadSome read);
[[nodiscard]] std::unique_ptr<RowReader> read_json_lines(ReadSome read);

// `batch_bytes`: of rows that are gathered to be written together, as one record batch. A larger record is a batch
// of its own, and is not copied.
[[nodiscard]] std::unique_ptr<RowWriter> write_arrow(WriteAll write, std::size_t batch_bytes);
[[nodiscard]] std::unique_ptr<RowWriter> write_json_lines(WriteAll write, std::size_t batch_bytes);

}  // namespace shoal::interchange
