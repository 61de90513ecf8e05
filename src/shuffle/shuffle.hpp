// START HERE. shuffle(): the rows of text files, put into one file a partition by worker processes.
//
// W mapper processes cut the inputs at true record boundaries and append each row, its bytes unchanged, to its
// partition in a shoal store; W reducer processes then write one file a partition, header first, and the parent
// writes manifest.json. Where the store holds some MiB of rows before all are read, they are written to the ends of
// the files while the mappers go on (early_output.hpp), so that memory bounds no job. Which rows go to which
// partition, and which row is named as malformed, never depends on the number of workers; the order of rows within
// a partition does (with one worker it is the inputs' order).
//
// A row's partition is XXH3_64bits(key's value) % partitions: stable from run to run and machine to machine. The
// value is what the field says, not how it is written: a CSV field is unquoted, a JSON string is unescaped; a JSON
// number, true, false, null, array or object counts by its raw text.
//
// Output is built in a hidden folder beside out_dir, `.NAME.shoal-XXXXXX`, and renamed to out_dir at the very end.
// A failure, SIGINT or SIGTERM removes it, so that out_dir is either whole or untouched. SIGKILL of the parent ends
// the workers too (and the in-memory store with them) and leaves the hidden folder; the next run for the same
// out_dir removes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <shoal/codec.hpp>
#include <tl/expected.hpp>

#include "shuffle/format.hpp"

namespace shoal::shuffling {

enum class OnBadRow { kFail, kSkip };

struct ShuffleOptions {
    // Files to read; "-" is standard input. What cannot be read from several places at once (standard input, a
    // FIFO, a device) is first copied to an unlinked temporary file beside out_dir, or in $TMPDIR when that is set.
    std::vector<std::string> inputs;

    // Where a row's key is: the name of a column (CSV, TSV), a top-level key (JSON lines), or the number of a
    // field, from 1 (lines).
    std::string by;

    std::uint32_t partitions = 0;  // 1 to 1,000,000; must be 0 with by_value
    bool by_value = false;         // one partition a distinct value instead

    // Mapper and then reducer processes, 1 to 256. 0, the default: one a CPU. More than there are CPUs cost
    // memory (a few MiB each) and gain nothing but where reading waits for a disk.
    unsigned workers = 0;

    // Folder to make; its parent must exist. If it is there and not empty: an error, or with `force` it is
    // replaced in one step when everything is done.
    std::string out_dir;
    bool force = false;

    Format format = Format::kAuto;
    char delimiter = '\0';  // '\0': ',' for CSV, tab for TSV, blanks (awk's rule) for lines

    // What a malformed row does: fail the whole job, naming it, or be left out and counted. A row longer than
    // 1 GiB and a malformed header fail it always.
    OnBadRow on_bad_row = OnBadRow::kFail;

    // The store's memory limit. 0, the default: ample for the inputs, and at most 0.8 of what is available. Rows
    // are written early when they take a quarter of it, or less where that will do: 32 MiB, and 256 KiB a
    // partition. With a limit that is given those are 2 MiB, and they go past the page cache.
    std::uint64_t memory_limit_bytes = 0;

    // Folder for rows that the store's memory does not hold, compressed by `codec`; it must exist. They go there
    // where partitions are so many that a quarter of memory has less than 64 KiB of each, and with keep_store.
    // Empty, the default: they are written early as well, in small pieces; or, with keep_store, memory holds them
    // all, or the job fails. A job that is killed (SIGKILL) leaves its files there, and `shoal gc` takes them away.
    std::string spill_dir;
    Codec codec;

    // Those rows, and the files of partitions where memory is limited, go through the kernel's page cache, instead
    // of past it.
    bool page_cache = false;

    // Path of a store to use instead of one in memory: made, or there already and empty. It is destroyed at the
    // end, however that comes about, unless keep_store.
    std::string store_path;
    bool keep_store = false;

    bool progress = false;  // draw a progress bar on stderr; for the caller to decide, isatty(2) for instance

    // Bytes of input a mapper takes at a time. 0, the default: by the size of the input, 1 to 16 MiB. It changes
    // no result; raising it makes the work uneven between mappers, lowering it repeats more of the edges.
    std::uint64_t chunk_bytes = 0;

    // Bytes of a mapper's read buffer; it grows for a longer row. 0, the default: 1 MiB. It changes no result.
    std::size_t read_buffer_bytes = 0;
};

// A malformed row, as a person wants to hear of it.
struct BadRowReport {
    std::string file;
    std::uint64_t line = 0;  // from 1: the physical line on which the record starts
    std::string what;        // "3 fields where the header has 4", for instance
};

struct BadRowCount {
    std::string reason;  // "wrong number of fields"
    std::uint64_t rows = 0;
};

struct PartitionSize {
    std::string file;  // its name in out_dir
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;  // of the file, header included
};

// What was done. Rows count records, whatever lines they span; the header is not a row.
struct ShuffleSummary {
    Format format = Format::kCsv;
    unsigned workers = 0;
    std::uint64_t rows = 0;           // rows in, which are the rows out
    std::uint64_t partitions = 0;     // files written
    std::uint64_t input_bytes = 0;    // of all inputs
    std::uint64_t row_bytes = 0;      // of those rows, terminators included
    std::uint64_t output_bytes = 0;   // of all partition files, headers included
    std::uint64_t blank_lines = 0;    // skipped
    std::uint64_t skipped_rows = 0;   // malformed, left out; 0 with OnBadRow::kFail
    std::uint64_t early_bytes = 0;    // of the rows, those written to their partitions before all were read
    std::uint64_t spilled_bytes = 0;  // of the rows, those that went to files
    std::uint64_t stored_bytes = 0;   // that they took there
    std::vector<BadRowCount> skipped_by_reason;
    std::vector<BadRowReport> first_skipped;  // the first few, in input order
    PartitionSize largest;                    // by rows; empty name when there is no partition
    PartitionSize smallest;
    double map_seconds = 0;     // finding the cuts and reading
    double reduce_seconds = 0;  // writing the partitions
    std::string out_dir;        // absolute
    std::string store_path;     // of the store that was kept; else empty
};

// Why a shuffle failed, in the classes a caller tells apart.
enum class ShuffleCause {
    kUsage,        // the options contradict themselves or name what is not there (a column, a folder)
    kBadInput,     // the input's content: a malformed row, headers that differ
    kStore,        // the store: memory limit, no room for the arena, a store that is not empty
    kSystem,       // a system call on inputs or outputs, a disk that is full
    kWorker,       // a worker process died
    kInterrupted,  // SIGINT, SIGTERM or SIGHUP
};

struct ShuffleError {
    ShuffleCause cause{};
    std::string message;  // one line: what, where, and what to do about it
};

// Does all of it and returns when it is done. It forks, so call it from a program that has no other threads. While
// it runs it holds back SIGINT, SIGTERM and SIGHUP; one that came ends the job and, when everything is cleaned
// up, is raised again for the caller's own disposition to act on, before shuffle returns kInterrupted. It reaps no
// child that is not its own. A failure leaves out_dir untouched and no temporary file. Memory: the store's, 16
// bytes a row of the partitions that are being written and what of them was spilled, 700 bytes to 5 KiB a partition
// that is begun, and the buffers of the workers.
[[nodiscard]] tl::expected<ShuffleSummary, ShuffleError> shuffle(const ShuffleOptions& options);

// The summary as a table for people and as one JSON object; both end with a newline.
[[nodiscard]] std::string summary_table(const ShuffleSummary& summary);
[[nodiscard]] std::string summary_json(const ShuffleSummary& summary);

}  // namespace shoal::shuffling
