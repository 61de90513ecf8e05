// LMDB: an entry a record, under the key and eight bytes that say whose it is and the how-manieth.
//
// LMDB has no append to a value; what its users do is one key a record and a range to read, or MDB_DUPSORT, whose
// values are sorted and 511 bytes at most. As its documentation advises for speed: a writable map, no sync,
// transactions of many puts, no read-ahead.
#include <cstring>

#include <lmdb.h>
#include <sys/stat.h>

#include "run.hpp"

namespace {

using compare::Buffer;
using compare::fail;
using compare::Pair;
using compare::Task;

void must(int code) {
    if (code != MDB_SUCCESS) fail(mdb_strerror(code));
}

class Lmdb {
public:
    static constexpr bool kOneProcess = false;

    explicit Lmdb(const Task& task) : folder_(task.folder + "/lmdb") { ::mkdir(folder_.c_str(), 0700); }
    [[nodiscard]] std::string version() const { return mdb_version(nullptr, nullptr, nullptr); }
    [[nodiscard]] compare::Settings settings() const {
        return {{"flags", "MDB_WRITEMAP MDB_NOSYNC MDB_NOMETASYNC MDB_NORDAHEAD MDB_NOTLS"},
                {"value", "an entry a record: key, then 8 bytes of writer and number"},
                {"batched", "1,024 puts a transaction"}};
    }

    // Opened by each process for itself: an environment must not cross a fork.
    class Hand {
    public:
        Hand(const Lmdb& peer, const Task& task, unsigned worker) : next_(std::uint64_t{worker} << 48) {
            must(mdb_env_create(&environment_));
            must(mdb_env_set_mapsize(environment_, task.payload_bytes() * 4 + (std::uint64_t{2} << 30)));
            must(mdb_env_open(environment_, peer.folder_.c_str(),
                              MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS, 0600));
            MDB_txn* transaction = begin(0);
            must(mdb_dbi_open(transaction, nullptr, MDB_CREATE, &database_));
            must(mdb_txn_commit(transaction));
        }
        Hand(const Hand&) = delete;
        Hand& operator=(const Hand&) = delete;
        ~Hand() { mdb_env_close(environment_); }

        void append(const Pair& pair) { append(std::span<const Pair>(&pair, 1)); }
        void append(std::span<const Pair> batch) {
            MDB_txn* transaction = begin(0);
            for (const Pair& pair : batch) {
                std::memcpy(name_, pair.key.data(), pair.key.size());
                const std::uint64_t number = __builtin_bswap64(next_++);
                std::memcpy(name_ + pair.key.size(), &number, sizeof number);
                MDB_val key{pair.key.size() + sizeof number, name_};
                MDB_val value{pair.record.size(), const_cast<char*>(pair.record.data())};
                must(mdb_put(transaction, database_, &key, &value, 0));
            }
            must(mdb_txn_commit(transaction));
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            std::size_t bytes = 0;
            each_record(key, [&](const MDB_val& value) { bytes += value.mv_size; });
            std::byte* to = buffer.room(bytes);
            each_record(key, [&](const MDB_val& value) {
                std::memcpy(to, value.mv_data, value.mv_size);
                to += value.mv_size;
            });
            return bytes;
        }
        std::size_t view(std::string_view key) {
            std::size_t bytes = 0;
            each_record(key, [&](const MDB_val& value) { bytes += value.mv_size; });
            return bytes;
        }
        void empty() {
            MDB_txn* transaction = begin(0);
            must(mdb_drop(transaction, database_, 0));
            must(mdb_txn_commit(transaction));
        }

    private:
        MDB_txn* begin(unsigned flags) {
            MDB_txn* transaction = nullptr;
            must(mdb_txn_begin(environment_, nullptr, flags, &transaction));
            return transaction;
        }
        template <class Take>
        void each_record(std::string_view key, const Take& take) {
            MDB_txn* transaction = begin(MDB_RDONLY);
            MDB_cursor* cursor = nullptr;
            must(mdb_cursor_open(transaction, database_, &cursor));
            MDB_val at{key.size(), const_cast<char*>(key.data())};
            MDB_val value;
            int found = mdb_cursor_get(cursor, &at, &value, MDB_SET_RANGE);
            while (found == MDB_SUCCESS && std::memcmp(at.mv_data, key.data(), key.size()) == 0) {
                take(value);
                found = mdb_cursor_get(cursor, &at, &value, MDB_NEXT);
            }
            mdb_cursor_close(cursor);
            mdb_txn_abort(transaction);
            if (found != MDB_SUCCESS && found != MDB_NOTFOUND) must(found);
        }

        MDB_env* environment_ = nullptr;
        MDB_dbi database_ = 0;
        std::uint64_t next_;
        char name_[64];
    };

private:
    std::string folder_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Lmdb>(argc, argv); }
