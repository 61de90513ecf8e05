// RocksDB with a merge operator that appends: Merge writes an operand, and a get joins them.
//
// As its tuning guide says for many writes: no write-ahead log (which costs acknowledged records when the process
// dies, what shoal's do not), large write buffers, a batch a write, few levels' work at a time, a bloom filter. One
// process at a time may have a database open for writing.
//
// Of its two operators that append, the one that joins all operands at once: StringAppendOperator joins one by one,
// and copies the value each time; a run with one key was not done with that after 90 s.
#include <cstring>

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include "run.hpp"

namespace {

using compare::Buffer;
using compare::fail;
using compare::Pair;
using compare::Task;

void must(const rocksdb::Status& status) {
    if (!status.ok()) fail(status.ToString());
}

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

class RocksDb {
public:
    static constexpr bool kOneProcess = true;

    explicit RocksDb(const Task& task) : folder_(task.folder + "/rocksdb") {
        const std::uint64_t memory = task.memory_bytes;
        options_.create_if_missing = true;
        options_.write_buffer_size = memory != 0 ? memory / 8 : std::size_t{64} << 20;
        options_.max_write_buffer_number = 4;
        options_.min_write_buffer_number_to_merge = 1;
        options_.IncreaseParallelism(2);
        options_.compression = rocksdb::kNoCompression;
        must(rocksdb::MergeOperator::CreateFromString(
            rocksdb::ConfigOptions(), "id=StringAppendTESTOperator;delimiter=", &options_.merge_operator));
        rocksdb::BlockBasedTableOptions table;
        table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
        table.block_cache = rocksdb::NewLRUCache(memory != 0 ? memory / 4 : std::size_t{1} << 30);
        options_.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
        writes_.disableWAL = true;
    }
    [[nodiscard]] std::string version() const { return rocksdb::GetRocksVersionAsString(); }
    [[nodiscard]] compare::Settings settings() const {
        return {{"merge_operator", "StringAppendTESTOperator, no delimiter"},
                {"disableWAL", "true"},
                {"write_buffer_size", std::to_string(options_.write_buffer_size)},
                {"max_write_buffer_number", "4"},
                {"IncreaseParallelism", "2"},
                {"compression", "none"},
                {"bloom filter", "10 bits a key"},
                {"batched", "a WriteBatch of 1,024 merges"}};
    }

    class Hand {
    public:
        Hand(RocksDb& peer, const Task&, unsigned) : peer_(peer) { open(); }
        void append(const Pair& pair) {
            must(database_->Merge(peer_.writes_, slice(pair.key), slice(pair.record)));
        }
        void append(std::span<const Pair> batch) {
            batch_.Clear();
            for (const Pair& pair : batch) must(batch_.Merge(slice(pair.key), slice(pair.record)));
            must(database_->Write(peer_.writes_, &batch_));
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            value_.Reset();
            must(database_->Get(rocksdb::ReadOptions(), database_->DefaultColumnFamily(), slice(key), &value_));
            std::memcpy(buffer.room(value_.size()), value_.data(), value_.size());
            return value_.size();
        }
        std::size_t view(std::string_view key) {
            value_.Reset();
            must(database_->Get(rocksdb::ReadOptions(), database_->DefaultColumnFamily(), slice(key), &value_));
            return value_.size();
        }
        void empty() {
            database_.reset();
            must(rocksdb::DestroyDB(peer_.folder_, peer_.options_));
            open();
        }

    private:
        void open() {
            rocksdb::DB* opened = nullptr;
            must(rocksdb::DB::Open(peer_.options_, peer_.folder_, &opened));
            database_.reset(opened);
        }

        RocksDb& peer_;
        std::unique_ptr<rocksdb::DB> database_;
        rocksdb::WriteBatch batch_;
        rocksdb::PinnableSlice value_;
    };

private:
    std::string folder_;
    rocksdb::Options options_;
    rocksdb::WriteOptions writes_;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<RocksDb>(argc, argv); }
