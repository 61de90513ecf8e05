// shoal itself: a store that every process attaches to; its memory is a tmpfs, its spill files lie in the folder.
#include <optional>

#include <shoal/store.hpp>

#include "run.hpp"

namespace {

using compare::Buffer;
using compare::fail;
using compare::Pair;
using compare::Task;

template <class Value>
Value taken(shoal::Result<Value> result) {
    if (!result) fail(result.error().message);
    return std::move(*result);
}

class Shoal {
public:
    static constexpr bool kOneProcess = false;

    explicit Shoal(const Task& task) : path_(task.folder + "/store") {
        options_.memory_limit_bytes = task.ample_bytes();
        // In memory its arena lies in that folder too, a tmpfs, and goes with it if this process is killed.
        (task.memory_bytes != 0 ? options_.spill_dir : options_.arena_dir) = task.folder;
        (void)taken(shoal::Store::open(path_, options_));
    }
    Shoal(const Shoal&) = delete;
    Shoal& operator=(const Shoal&) = delete;
    ~Shoal() { (void)shoal::Store::destroy(path_); }

    [[nodiscard]] std::string version() const { return "this commit"; }
    [[nodiscard]] compare::Settings settings() const {
        return {{"memory_limit_bytes", std::to_string(options_.memory_limit_bytes)},
                {"spill_dir", options_.spill_dir.empty() ? "none" : "on the disk"},
                {"batched", "append(batch) by keys, without handles"}};
    }

    class Hand {
    public:
        Hand(const Shoal& peer, const Task&, unsigned) : store_(taken(shoal::Store::attach(peer.path_))) {
            pairs_.reserve(bench::kBatchPairs);
        }
        void append(const Pair& pair) {
            if (const auto done = store_.append(pair.key, pair.record); !done) fail(done.error().message);
        }
        void append(std::span<const Pair> batch) {
            pairs_.clear();
            for (const Pair& pair : batch) pairs_.emplace_back(pair.key, pair.record);
            if (const auto done = store_.append(pairs_); !done) fail(done.error().message);
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            auto bytes = store_.get_into(key, buffer.all());
            if (!bytes && bytes.error().code == shoal::Code::kBufferTooSmall) {
                buffer.room(bytes.error().count);
                bytes = store_.get_into(key, buffer.all());
            }
            if (!bytes) fail(bytes.error().message);
            return *bytes;
        }
        std::size_t view(std::string_view key) { return taken(store_.view(key)).bytes(); }
        std::uint64_t bytes() { return taken(store_.stats()).real_bytes; }
        void empty() {
            if (const auto done = store_.drop(); !done) fail(done.error().message);
        }

    private:
        shoal::Store store_;
        std::vector<shoal::Pair> pairs_;
    };

private:
    std::string path_;
    shoal::Options options_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Shoal>(argc, argv); }
