// Task: what one worker program of bench/compare is asked to measure, and how it tells what it found.
//
// A program measures one peer in one workload, once: it warms up, empties, appends under the clock, checks every
// value against what was appended, and then reads under the clock. The driver (bench/compare) starts it by turns
// with the other peers' programs. Task, picks and records are the same for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workload.hpp"

namespace compare {

struct Task {
    std::size_t record_bytes = 64;
    std::uint32_t keys = 100;
    std::uint64_t records = 100'000;  // of all processes together, at most: a slow peer stops after `seconds`
    unsigned processes = 1;
    bool batched = false;            // bench::kBatchPairs records a call, transaction, pipeline or lock
    double seconds = 0.3;            // the longest that appending goes on
    double read_seconds = 0.3;       // and then each kind of reading; 0: nothing is read
    bool warm_up = true;             // a round before, which is not counted
    std::string folder;              // where the peer's files lie, made by the driver and removed by it
    std::uint64_t memory_bytes = 0;  // what the peer may take in memory; 0: as much as the data need, several times

    [[nodiscard]] std::uint64_t payload_bytes() const { return records * record_bytes; }
    // Memory in which the data fit, whatever a peer adds to them or copies when it grows.
    [[nodiscard]] std::uint64_t ample_bytes() const {
        return memory_bytes != 0 ? memory_bytes : (std::uint64_t{1} << 30) + 6 * payload_bytes() + keys * 512ULL;
    }
};

struct Pair {
    std::uint32_t number;  // of the key
    std::string_view key;
    std::string_view record;
};

// The names of all keys, as bench::key_name makes them, back to back: 12 bytes a key and not the 32 of a
// std::string, which counts where there are a hundred million.
class Keys {
public:
    explicit Keys(std::uint32_t count);
    [[nodiscard]] std::string_view operator[](std::uint32_t key) const {
        return std::string_view(text_).substr(key * name_bytes_, name_bytes_);
    }

private:
    std::size_t name_bytes_;
    std::string text_;
};

// Memory of a reader, into which values are copied; it is not zeroed before that.
class Buffer {
public:
    // At least `bytes` of it; what was in it may be gone.
    std::byte* room(std::size_t bytes) {
        if (bytes > size_) {
            size_ = bytes + bytes / 4;
            data_.reset(new std::byte[size_]);
        }
        return data_.get();
    }
    [[nodiscard]] std::span<std::byte> all() { return {data_.get(), size_}; }
    [[nodiscard]] const char* text() const { return reinterpret_cast<const char*>(data_.get()); }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_ = 0;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

// Ends the program with a message when the command line is wrong.
Task parse_task(int argc, char** argv);

// What was measured, as the JSON that the driver reads.
struct Timing {
    double seconds = 0;
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
    double cpu_seconds = 0;
};
struct Outcome {
    std::string version;
    Settings settings;
    std::vector<std::pair<std::string, Timing>> timings;
    std::uint64_t keys_held = 0;
    std::uint64_t store_bytes = 0;  // memory of the peer's own after the appends, where it can tell
    std::string error;              // why there is no figure: a lost record, for instance
};
void print(const Outcome& outcome);

[[noreturn]] void fail(const std::string& what);           // throws
[[noreturn]] void fail_by_errno(const std::string& what);  // throws, with the system's words
double cpu_seconds();                                      // of this process

// Which records each key must hold, as a sum that neither a lost, a doubled, a foreign nor a spoiled record keeps.
class Ledger {
public:
    explicit Ledger(const Task& task);
    // The append of one worker that was its `at`th.
    void add(std::uint32_t key, std::uint64_t at);
    [[nodiscard]] std::string judge(std::uint32_t key, const char* value, std::size_t bytes) const;
    [[nodiscard]] bool expects(std::uint32_t key) const { return keys_[key].records != 0; }

private:
    struct Entry {
        std::uint64_t records = 0;
        std::uint64_t sum = 0;
    };
    static std::uint64_t weight(std::size_t record);

    std::size_t record_bytes_;
    std::vector<std::byte> source_;
    std::vector<std::pair<std::uint64_t, std::size_t>> by_first_word_;  // of the distinct records, sorted
    std::vector<Entry> keys_;
};

}  // namespace compare
