// The limit, no peer: each process copies its records into shared memory of its own, a stretch a key, nothing else.
//
// Where each key's bytes go is counted before the clock starts, and the memory is touched, by the process that will
// write there: else the first writes are page faults, which a store with warm memory of its own does without. Timed
// are the look-up of the place in an array, by the key's number, and the copy.
#include <cstdlib>
#include <cstring>

#include "run.hpp"
#include "shared_file.hpp"

namespace {

using compare::Buffer;
using compare::Pair;
using compare::Task;

class Memcpy {
public:
    static constexpr bool kOneProcess = false;

    explicit Memcpy(const Task& task)
        : keys_(task.keys),
          bytes_(task.payload_bytes() + 4096),
          ends_bytes_(std::size_t{task.processes} * task.keys * sizeof(std::size_t)),
          bytes_map_(bytes_.descriptor(), bytes_.size()),
          ends_(ends_bytes_.descriptor(), ends_bytes_.size()) {
        std::size_t at = 0;
        for (unsigned worker = 0; worker < task.processes; ++worker) {
            std::vector<std::size_t> lengths(task.keys);
            for (const std::uint32_t pick : bench::make_picks(task.records / task.processes, task.keys, worker)) {
                lengths[pick] += task.record_bytes;
            }
            for (const std::size_t length : lengths) {
                starts_.push_back(at);
                at += length;
            }
        }
        empty();
    }
    [[nodiscard]] std::string version() const { return "the C library's"; }
    [[nodiscard]] compare::Settings settings() const {
        return {{"memory", "touched before the clock starts"}, {"batched", "the same: there is no call to save"}};
    }

    class Hand {
    public:
        Hand(Memcpy& peer, const Task& task, unsigned worker)
            : peer_(peer), ends_(peer.ends() + std::size_t{worker} * task.keys) {
            if (worker == task.processes) return;  // it reads
            const std::size_t first = peer.starts_[std::size_t{worker} * task.keys];
            const std::size_t next = std::size_t{worker + 1} * task.keys;
            const std::size_t end = next < peer.starts_.size() ? peer.starts_[next] : peer.bytes_.size();
            std::memset(peer.bytes_map_.data() + first, 0, end - first);
        }
        void append(const Pair& pair) {
            std::memcpy(peer_.bytes_map_.data() + ends_[pair.number], pair.record.data(), pair.record.size());
            ends_[pair.number] += pair.record.size();
        }
        void append(std::span<const Pair> batch) {
            for (const Pair& pair : batch) append(pair);
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            const std::size_t number = std::strtoul(key.data() + 4, nullptr, 10);
            const std::size_t bytes = length(number);
            std::byte* to = buffer.room(bytes);
            for (std::size_t at = number; at < peer_.starts_.size(); at += peer_.keys_) {
                const std::size_t part = peer_.ends()[at] - peer_.starts_[at];
                std::memcpy(to, peer_.bytes_map_.data() + peer_.starts_[at], part);
                to += part;
            }
            return bytes;
        }
        void empty() { peer_.empty(); }

    private:
        [[nodiscard]] std::size_t length(std::size_t number) const {
            std::size_t bytes = 0;
            for (std::size_t at = number; at < peer_.starts_.size(); at += peer_.keys_) {
                bytes += peer_.ends()[at] - peer_.starts_[at];
            }
            return bytes;
        }

        Memcpy& peer_;
        std::size_t* ends_;
    };

private:
    // By worker, then by key: where its bytes end now.
    [[nodiscard]] std::size_t* ends() { return reinterpret_cast<std::size_t*>(ends_.data()); }
    void empty() { std::copy(starts_.begin(), starts_.end(), ends()); }

    std::size_t keys_;
    bench::SharedFile bytes_;
    bench::SharedFile ends_bytes_;
    bench::Mapping bytes_map_;
    bench::Mapping ends_;
    std::vector<std::size_t> starts_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Memcpy>(argc, argv); }
