#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "arrow_metadata_generated.h"
#include "interchange/arrow_numbers.hpp"
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

// A message's metadata as it goes into the stream, before a body of so many bytes.
template <class T>
std::string finish_message(flatbuffers::FlatBufferBuilder& flat, flatbuffers::Offset<T> header,
                           std::size_t body_bytes) {
    flat.Finish(arrow::CreateMessage(flat, arrow::kV5, arrow::HeaderTraits<T>::enum_value, header.Union(),
                                     static_cast<std::int64_t>(body_bytes)));
    const std::size_t bytes = padded(flat.GetSize());
    const std::uint32_t prefix[] = {arrow::kContinuation, static_cast<std::uint32_t>(bytes)};
    std::string message(reinterpret_cast<const char*>(prefix), sizeof prefix);
    message.append(reinterpret_cast<const char*>(flat.GetBufferPointer()), flat.GetSize());
    message.resize(sizeof prefix + bytes);
    return message;
}

std::string schema_message() {
    static constexpr std::pair<const char*, arrow::Type> kColumns[] = {{"key", arrow::Type::kBinary},
                                                                       {"record", arrow::Type::kLargeBinary}};
    flatbuffers::FlatBufferBuilder flat;
    std::vector<flatbuffers::Offset<arrow::Field>> fields;
    for (const auto& [name, type] : kColumns) {
        const std::vector<flatbuffers::Offset<arrow::Field>> no_children;
        fields.push_back(arrow::CreateFieldDirect(flat, name, false, static_cast<std::uint8_t>(type),
                                                  arrow::CreateSomething(flat), 0, &no_children));
    }
    return finish_message(flat, arrow::CreateSchemaDirect(flat, 0, &fields), 0);
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
            places.emplace_back(static_cast<std::int64_t>(body_bytes), static_cast<std::int64_t>(buffer.size()));
            const std::size_t padding = padded(buffer.size()) - buffer.size();
            if (!buffer.empty()) pieces.push_back(buffer);
            if (padding > 0) pieces.emplace_back(kPadding.data(), padding);
            body_bytes += buffer.size() + padding;
        }
        const auto rows = static_cast<std::int64_t>(key_ends.size() - 1);
        const std::vector<arrow::FieldNode> nodes(2, arrow::FieldNode(rows, 0));
        flatbuffers::FlatBufferBuilder flat;
        const std::string metadata =
            finish_message(flat, arrow::CreateRecordBatchDirect(flat, rows, &nodes, &places), body_bytes);
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
