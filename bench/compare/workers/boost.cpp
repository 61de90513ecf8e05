// Boost.Interprocess: a hash map of strings to byte vectors in shared memory, under its mutex.
//
// Batched: one lock for 1,024 records. A reader locks too, while it copies.
#include <cstring>

#include <boost/version.hpp>

#include "boost_map.hpp"
#include "run.hpp"
#include "shared_file.hpp"

namespace {

using compare::Buffer;
using compare::Pair;
using compare::Task;
using namespace bench::boost_map;

class Boost {
public:
    static constexpr bool kOneProcess = false;

    explicit Boost(const Task& task)
        : keys_(task.keys),
          file_(task.ample_bytes()),
          map_(file_.descriptor(), file_.size()),
          segment_(ipc::create_only, map_.data(), map_.size()),
          root_(*segment_.construct<Root>("root")(task.keys, segment_.get_segment_manager())) {}
    [[nodiscard]] std::string version() const {
        return std::to_string(BOOST_VERSION / 100'000) + "." + std::to_string(BOOST_VERSION / 100 % 1000);
    }
    [[nodiscard]] compare::Settings settings() const {
        return {{"map", "boost::unordered_map, reserved for all keys"},
                {"value", "vector of bytes"},
                {"lock", "one interprocess_mutex"},
                {"batched", "one lock for 1,024 records"}};
    }

    // Inherits the mapping; what is in it refers to itself by offsets.
    class Hand {
    public:
        Hand(Boost& peer, const Task&, unsigned) : peer_(peer) {}
        void append(const Pair& pair) { append(std::span<const Pair>(&pair, 1)); }
        void append(std::span<const Pair> batch) {
            const ipc::scoped_lock<ipc::interprocess_mutex> lock(peer_.root_.mutex);
            for (const Pair& pair : batch) {
                append_one(peer_.root_, peer_.segment_.get_segment_manager(), pair.key,
                           reinterpret_cast<const std::byte*>(pair.record.data()), pair.record.size());
            }
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            const ipc::scoped_lock<ipc::interprocess_mutex> lock(peer_.root_.mutex);
            const auto at = peer_.root_.map.find(key, Hash(), Equal());
            if (at == peer_.root_.map.end()) return 0;
            std::memcpy(buffer.room(at->second.size()), at->second.data(), at->second.size());
            return at->second.size();
        }
        void empty() {
            peer_.root_.map.clear();
            peer_.root_.map.reserve(peer_.keys_);
        }

    private:
        Boost& peer_;
    };

private:
    std::size_t keys_;
    bench::SharedFile file_;
    bench::Mapping map_;
    ipc::managed_external_buffer segment_;
    Root& root_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Boost>(argc, argv); }
