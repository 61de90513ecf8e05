#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "interchange/arrow_schema.hpp"
#include "interchange/flat.hpp"
#include "interchange/rows.hpp"

namespace shoal::interchange {
namespace {

constexpr std::size_t kPadTo = 8;
constexpr std::array<std::byte, kPadTo> kPadding{};

std::size_t padded(std::size_t bytes) { return (bytes + kPadTo - 1) / kPadTo * kPadTo; }

template <class T>
ByteView bytes_of(const std::vector<T>& values) {
    return {static_cast<const void*>(values.data()), values.size() * sizeof(T)};
}

// A message's metadata as it goes into the stream.
std::string with_prefix(const std::string& metadata) {
    const std::uint32_t prefix[] = {arrow::kContinuation, static_cast<std::uint32_t>(metadata.size())};
    return std::string(reinterpret_cast<const char*>(prefix), sizeof prefix) + metadata;
}

std::size_t begin_message(FlatWriter& flat, arrow::message::HeaderType type, std::size_t body_bytes) {
    const std::size_t message = flat.add_table(0, {2, 1, 4, 8});
    flat.set(flat.place(message, arrow::message::kVersion), arrow::message::kV5);
    flat.set(flat.place(message, arrow::message::kHeaderType), type);
    flat.set(flat.place(message, arrow::message::kBodyLength), static_cast<std::int64_t>(body_bytes));
    return flat.place(message, arrow::message::kHeader);
}

std::string schema_message() {
    static constexpr std::pair<std::string_view, arrow::Type> kColumns[] = {{"key", arrow::Type::kBinary},
                                                                            {"record", arrow::Type::kLargeBinary}};
    FlatWriter flat;
    const std::size_t schema =
        flat.add_table(begin_message(flat, arrow::message::kSchema, 0), {0, 4});  // little endian is the default
    std::size_t slot = flat.add_vector(flat.place(schema, arrow::schema::kFields), std::size(kColumns), 4);
    for (const auto& [name, type] : kColumns) {
        const std::size_t field = flat.add_table(slot, {4, 0, 1, 4, 0, 4});
        flat.set(flat.place(field, arrow::field::kTypeType), type);
        flat.add_text(flat.place(field, arrow::field::kName), name);
        flat.add_table(flat.place(field, arrow::field::kType), {});
        flat.add_vector(flat.place(field, arrow::field::kChildren), 0, 4);
        slot += sizeof(std::uint32_t);
    }
    return with_prefix(flat.finish());
}

class ArrowWriter final : public RowWriter {
public:
    ArrowWriter(WriteAll write, std::size_t batch_bytes) : write_(std::move(write)), batch_bytes_(batch_bytes) {}

    bool add(ByteView key, ByteView record) override {
        const std::size_t bytes = key.size() + record.size() + sizeof(std::int32_t) + sizeof(std::int64_t);
        const bool fits =
            bytes_ + bytes <= batch_bytes_ && key.size() <= std::numeric_limits<std::int32_t>::max() - keys_.size();
        if (!fits && !write_gathered()) return false;
        if (bytes > batch_bytes_) {
            return write_batch(key, {0, static_cast<std::int32_t>(key.size())}, record,
                               {0, static_cast<std::int64_t>(record.size())});
        }
        bytes_ += bytes;
        keys_ += key.text();
        key_ends_.push_back(static_cast<std::int32_t>(keys_.size()));
        records_ += record.text();
        record_ends_.push_back(static_cast<std::int64_t>(records_.size()));
        return true;
    }

    bool finish() override {
        static constexpr std::uint32_t kEnd[] = {arrow::kContinuation, 0};
        if (!write_gathered() || !write_schema()) return false;
        const ByteView end(static_cast<const void*>(kEnd), sizeof kEnd);
        return write_({&end, 1});
    }

private:
    bool write_schema() {
        if (std::exchange(has_schema_, true)) return true;
        const std::string schema = schema_message();
        const ByteView bytes(schema);
        return write_({&bytes, 1});
    }

    bool write_gathered() {
        if (key_ends_.size() == 1) return true;
        const bool written = write_batch(keys_, key_ends_, records_, record_ends_);
        bytes_ = 0;
        keys_.clear();
        records_.clear();
        key_ends_.resize(1);
        record_ends_.resize(1);
        return written;
    }

    bool write_batch(ByteView keys, const std::vector<std::int32_t>& key_ends, ByteView records,
                     const std::vector<std::int64_t>& record_ends) {
        const ByteView buffers[] = {{}, bytes_of(key_ends), keys, {}, bytes_of(record_ends), records};
        std::vector<ByteView> pieces{{}};  // the first is the metadata
        std::vector<arrow::Buffer> places;
        std::size_t body_bytes = 0;
        for (const ByteView buffer : buffers) {  // no validity: nothing is null
            places.push_back({static_cast<std::int64_t>(body_bytes), static_cast<std::int64_t>(buffer.size())});
            const std::size_t padding = padded(buffer.size()) - buffer.size();
            if (!buffer.empty()) pieces.push_back(buffer);
            if (padding > 0) pieces.emplace_back(kPadding.data(), padding);
            body_bytes += buffer.size() + padding;
        }
        const auto rows = static_cast<std::int64_t>(key_ends.size() - 1);
        FlatWriter flat;
        const std::size_t batch =
            flat.add_table(begin_message(flat, arrow::message::kRecordBatch, body_bytes), {8, 4, 4});
        flat.set(flat.place(batch, arrow::record_batch::kLength), rows);
        const arrow::Node node{rows, 0};
        const std::size_t nodes =
            flat.add_vector(flat.place(batch, arrow::record_batch::kNodes), 2, sizeof(arrow::Node));
        flat.set(nodes, node);
        flat.set(nodes + sizeof node, node);
        std::size_t at =
            flat.add_vector(flat.place(batch, arrow::record_batch::kBuffers), places.size(), sizeof(arrow::Buffer));
        for (const arrow::Buffer& place : places) flat.set(std::exchange(at, at + sizeof place), place);
        const std::string metadata = with_prefix(flat.finish());
        pieces.front() = metadata;
        return write_schema() && write_(pieces);
    }

    WriteAll write_;
    std::size_t batch_bytes_;
    std::size_t bytes_ = 0;  // gathered
    std::string keys_;
    std::vector<std::int32_t> key_ends_{0};
    std::string records_;
    std::vector<std::int64_t> record_ends_{0};
    bool has_schema_ = false;
};

}  // namespace

std::unique_ptr<RowWriter> write_arrow(WriteAll write, std::size_t batch_bytes) {
    return std::make_unique<ArrowWriter>(std::move(write), batch_bytes);
}

}  // namespace shoal::interchange
