#include <lz4frame.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "arrow_metadata_generated.h"
#include "interchange/arrow_numbers.hpp"
#include "interchange/input_buffer.hpp"
#include "interchange/rows.hpp"

namespace shoal::interchange {
namespace {

static_assert(std::endian::native == std::endian::little, "buffers are taken as they are");

constexpr std::uint32_t kMostMetadataBytes = 256U << 20;
constexpr std::size_t kRowsAtOnce = 4096;
constexpr std::int64_t kInlineBytes = 12;  // a view has up to so many in itself

template <class T>
T read_at(ByteView bytes, std::size_t at) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

// A copy: elements of 8 bytes need not be aligned (Polars' counts are not), and FlatBuffers' verifier does not ask.
template <class T, class Vector>
T element(const Vector& vector, std::size_t index) {
    return read_at<T>({static_cast<const void*>(vector.Data()), vector.size() * sizeof(T)}, index * sizeof(T));
}

// `bytes` of `buffer`, where they lie in it.
std::optional<ByteView> part_of(ByteView buffer, std::int64_t offset, std::int64_t bytes) {
    const auto size = static_cast<std::int64_t>(buffer.size());
    if (offset < 0 || bytes < 0 || offset > size || bytes > size - offset) return std::nullopt;
    return ByteView(buffer.data() + offset, static_cast<std::size_t>(bytes));
}

// Memory that grows to what a compressed buffer becomes, by what has become of it: what it says of itself is not
// believed before that.
class Memory {
public:
    explicit Memory(std::size_t most) : most_(most) { grow(std::min<std::size_t>(most, 1 << 20)); }
    // What is free; more where there was none.
    [[nodiscard]] std::span<std::byte> room() {
        if (used_ == capacity_) grow(capacity_ < most_ / 2 ? 2 * capacity_ : most_);
        return {bytes_.get() + used_, capacity_ - used_};
    }
    void use(std::size_t count) noexcept { used_ += count; }
    [[nodiscard]] bool is_full() const noexcept { return used_ == most_; }
    [[nodiscard]] ByteView bytes() const noexcept { return {bytes_.get(), used_}; }

private:
    struct Free {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };
    void grow(std::size_t capacity) {
        if (capacity == capacity_) return;
        auto* grown = static_cast<std::byte*>(std::realloc(bytes_.get(), capacity));
        if (grown == nullptr) throw std::bad_alloc();
        static_cast<void>(bytes_.release());
        bytes_.reset(grown);
        capacity_ = capacity;
    }

    std::size_t most_;
    std::size_t capacity_ = 0;
    std::size_t used_ = 0;
    std::unique_ptr<std::byte, Free> bytes_;
};

// One step: what is taken and given is counted; how much is left, 0 at the end of the frame; nothing on an error.
using Step = std::function<std::optional<std::size_t>(ByteView from, std::size_t& taken, std::span<std::byte> to,
                                                      std::size_t& given)>;

bool fill(Memory& memory, ByteView from, const Step& step) {
    std::size_t read = 0;
    for (;;) {
        const std::span<std::byte> room = memory.room();
        std::size_t taken = 0;
        std::size_t given = 0;
        const auto left = step({from.data() + read, from.size() - read}, taken, room, given);
        if (!left) return false;
        read += taken;
        memory.use(given);
        if (*left == 0) return memory.is_full() && read == from.size();
        if (taken == 0 && given == 0) return false;  // it is cut off, or longer than it says
    }
}

// False where it is not what it says.
bool decompress(arrow::Codec codec, ByteView from, Memory& memory) {
    if (codec == arrow::kZstd) {
        const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
        if (context == nullptr) throw std::bad_alloc();
        return fill(memory, from,
                    [&](ByteView input, std::size_t& taken, std::span<std::byte> to,
                        std::size_t& given) -> std::optional<std::size_t> {
                        ZSTD_inBuffer in{input.data(), input.size(), 0};
                        ZSTD_outBuffer out{to.data(), to.size(), 0};
                        const std::size_t left = ZSTD_decompressStream(context.get(), &out, &in);
                        taken = in.pos;
                        given = out.pos;
                        if (ZSTD_isError(left) != 0) return std::nullopt;
                        return left;
                    });
    }
    LZ4F_dctx* made = nullptr;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) != 0) throw std::bad_alloc();
    const std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> context(made,
                                                                               &LZ4F_freeDecompressionContext);
    return fill(memory, from,
                [&](ByteView input, std::size_t& taken, std::span<std::byte> to,
                    std::size_t& given) -> std::optional<std::size_t> {
                    taken = input.size();
                    given = to.size();
                    const std::size_t left =
                        LZ4F_decompress(context.get(), to.data(), &given, input.data(), &taken, nullptr);
                    if (LZ4F_isError(left) != 0) return std::nullopt;
                    return left;
                });
}

// A column of one record batch. Nothing in it was looked at yet but that its buffers lie in the body.
struct Column {
    arrow::Type type{};
    std::int64_t null_count = 0;
    ByteView validity;
    ByteView places;  // offsets, or views
    std::vector<ByteView> data;

    [[nodiscard]] bool is_view() const {
        return type == arrow::Type::kBinaryView || type == arrow::Type::kUtf8View;
    }
    [[nodiscard]] bool is_large() const {
        return type == arrow::Type::kLargeBinary || type == arrow::Type::kLargeUtf8;
    }
    [[nodiscard]] bool has_room_for(std::uint64_t rows) const {
        if (rows == 0) return true;
        const std::uint64_t bytes = places.size();
        const bool all = is_view()    ? rows <= bytes / 16
                         : is_large() ? rows < bytes / sizeof(std::int64_t)
                                      : rows < bytes / sizeof(std::int32_t);
        return all && (validity.empty() || (rows - 1) / 8 < validity.size());
    }
    [[nodiscard]] bool is_null(std::size_t row) const {
        if (null_count == 0 || validity.empty()) return false;
        return (std::to_integer<unsigned>(validity.data()[row / 8]) >> row % 8 & 1U) == 0;
    }
    // Nothing where it does not lie in the data.
    [[nodiscard]] std::optional<ByteView> value(std::size_t row) const {
        if (!is_view()) {
            const std::size_t each = is_large() ? sizeof(std::int64_t) : sizeof(std::int32_t);
            const auto at = [&](std::size_t index) -> std::int64_t {
                return is_large() ? read_at<std::int64_t>(places, index * each)
                                  : read_at<std::int32_t>(places, index * each);
            };
            const std::int64_t begin = at(row);
            const std::int64_t end = at(row + 1);
            return begin < 0 || end < begin ? std::nullopt : part_of(data.front(), begin, end - begin);
        }
        const std::size_t at = row * 16;
        const std::int64_t bytes = read_at<std::int32_t>(places, at);
        if (bytes >= 0 && bytes <= kInlineBytes) {
            return ByteView(places.data() + at + 4, static_cast<std::size_t>(bytes));
        }
        const auto buffer = read_at<std::uint32_t>(places, at + 8);
        if (buffer >= data.size()) return std::nullopt;
        return part_of(data[buffer], read_at<std::int32_t>(places, at + 12), bytes);
    }
};

class ArrowReader final : public RowReader {
public:
    explicit ArrowReader(ReadSome read) : input_(std::move(read), 0) {}

    Result<std::span<const Pair>> next() override {
        rows_.clear();
        while (!failure_ && !ended_) {
            if (next_row_ < batch_rows_) {
                take_rows();
                if (!rows_.empty()) return std::span<const Pair>(rows_);
                continue;  // the first of them is what failed
            }
            if (const auto read = read_message(); !read) return tl::unexpected(read.error());
        }
        if (failure_) return tl::unexpected(*failure_);
        return std::span<const Pair>();
    }

private:
    // --- rows of the batch that is held ---

    void take_rows() {
        while (next_row_ < batch_rows_ && rows_.size() < kRowsAtOnce) {
            const auto row = static_cast<std::size_t>(next_row_);
            for (const Column* column : {&columns_[key_], &columns_[1 - key_]}) {
                const char* name = column == &columns_[key_] ? "key" : "record";
                if (column->is_null(row)) return fail_row(fmt::format("its {} is null", name));
                if (!column->value(row)) return fail_row(fmt::format("its {} lies outside of the batch", name));
            }
            rows_.emplace_back(*columns_[key_].value(row), *columns_[1 - key_].value(row));
            ++next_row_;
            ++row_number_;
        }
    }
    void fail_row(const std::string& why) {
        failure_ = Error{Code::kInvalidArgument, fmt::format("row {}: {}", row_number_ + 1, why), 0, 0};
    }
    [[nodiscard]] Result<void> bad(const std::string& why) {
        failure_ = Error{Code::kInvalidArgument,
                         fmt::format("the Arrow stream behind row {}: {}", row_number_, why), 0, 0};
        return tl::unexpected(*failure_);
    }
    // Of a vector that may be left out.
    template <class T>
    [[nodiscard]] static std::size_t size_of(const flatbuffers::Vector<T>* vector) {
        return vector == nullptr ? 0 : vector->size();
    }
    [[nodiscard]] Result<void> cut_off() { return bad("it is cut off"); }

    // --- messages ---

    Result<void> read_message() {
        input_.consume(std::exchange(held_, 0));
        batch_rows_ = next_row_ = 0;
        decompressed_.clear();
        auto bytes = input_.peek(8);
        if (!bytes) return tl::unexpected(bytes.error());
        if (!has_schema_ && is_first_) {
            if (bytes->starts_with('{')) return bad("this looks like JSON lines: give --jsonl");
            if (bytes->starts_with(arrow::kFileMagic)) {
                return bad("this is an Arrow file, which a pipe cannot have: write it as an IPC stream");
            }
        }
        is_first_ = false;
        if (bytes->empty() && !has_schema_ && has_ended_once_) {
            ended_ = true;
            return {};
        }
        if (bytes->size() < 4) return cut_off();
        std::uint32_t size = 0;
        std::memcpy(&size, bytes->data(), sizeof size);
        std::size_t prefix = sizeof size;
        if (size == arrow::kContinuation) {
            if (bytes->size() < 8) return cut_off();
            std::memcpy(&size, bytes->data() + prefix, sizeof size);
            prefix += sizeof size;
        }
        if (size == 0) return end_stream(prefix);
        if (size > kMostMetadataBytes) return bad("this is no Arrow IPC stream");
        bytes = input_.peek(prefix + size);
        if (!bytes) return tl::unexpected(bytes.error());
        if (bytes->size() < prefix + size) return cut_off();
        metadata_.assign(bytes->substr(prefix, size));
        const auto* first = reinterpret_cast<const std::uint8_t*>(metadata_.data());
        flatbuffers::Verifier verifier(first, metadata_.size());
        if (!arrow::VerifyMessageBuffer(verifier)) return bad("its metadata cannot be right");
        const arrow::Message& message = *arrow::GetMessage(first);
        const std::int64_t body_bytes = message.body_length();
        if (body_bytes < 0) return bad("its metadata cannot be right");
        const std::size_t all = prefix + size + static_cast<std::size_t>(body_bytes);
        bytes = input_.peek(all);
        if (!bytes) return tl::unexpected(bytes.error());
        if (bytes->size() < all) return cut_off();
        held_ = all;
        return take_message(message, bytes->substr(prefix + size, all - prefix - size));
    }

    // Another stream may follow.
    Result<void> end_stream(std::size_t prefix) {
        if (!has_schema_) return bad("it has no schema");
        held_ = prefix;
        has_schema_ = false;
        has_ended_once_ = true;
        return {};
    }

    Result<void> take_message(const arrow::Message& message, ByteView body) {
        if (message.version() != arrow::kV4 && message.version() != arrow::kV5) {
            return bad(
                fmt::format("its metadata version is {}, and 3 (V4) and 4 (V5) are known", message.version()));
        }
        if (const auto* schema = message.header_as_Schema()) return take_schema(*schema);
        if (!has_schema_) return bad("it has no schema");
        if (const auto* batch = message.header_as_RecordBatch()) return take_batch(*batch, body);
        return bad(fmt::format("it has a message of type {}, and only schemas and record batches are known",
                               static_cast<unsigned>(message.header_type())));
    }

    Result<void> take_schema(const arrow::Schema& schema) {
        if (has_schema_) return bad("it has a second schema");
        if (schema.endianness() != 0) return bad("it is big-endian");
        const std::size_t count = size_of(schema.fields());
        std::string names;
        std::array<std::string, 2> name;
        for (std::size_t index = 0; index < count && names.size() < 1000; ++index) {
            const arrow::Field& field = *schema.fields()->Get(static_cast<flatbuffers::uoffset_t>(index));
            const std::string_view text = field.name() == nullptr ? "" : field.name()->string_view();
            names += fmt::format("{}'{}'", index == 0 ? "" : ", ", text.substr(0, 100));
            if (index > 1) continue;
            name[index] = text;
            columns_[index] = {};
            columns_[index].type = static_cast<arrow::Type>(field.type_number());
            if (field.dictionary() != nullptr) {
                return bad(fmt::format("the column '{}' is dictionary-encoded: write it as binary", text));
            }
        }
        key_ = name[0] == "key" ? 0 : 1;
        if (count != 2 || name[key_] != "key" || name[1 - key_] != "record") {
            return bad(fmt::format("it has the columns {}, and not 'key' and 'record'",
                                   names.empty() ? "of none" : names));
        }
        for (std::size_t index = 0; index < columns_.size(); ++index) {
            switch (columns_[index].type) {
                case arrow::Type::kBinary:
                case arrow::Type::kUtf8:
                case arrow::Type::kLargeBinary:
                case arrow::Type::kLargeUtf8:
                case arrow::Type::kBinaryView:
                case arrow::Type::kUtf8View:
                    continue;
            }
            return bad(fmt::format("the column '{}' is of Arrow's type {}, and not of binary or utf8", name[index],
                                   static_cast<unsigned>(columns_[index].type)));
        }
        has_schema_ = true;
        return {};
    }

    Result<void> take_batch(const arrow::RecordBatch& batch, ByteView body) {
        const std::int64_t rows = batch.length();
        const auto* buffers = batch.buffers();
        const auto* variadic = batch.variadic_counts();
        if (rows < 0 || size_of(batch.nodes()) != columns_.size()) return bad("a record batch cannot be right");
        std::optional<arrow::Codec> codec;
        if (batch.compression() != nullptr) codec = static_cast<arrow::Codec>(batch.compression()->codec());
        if (codec && *codec != arrow::kLz4Frame && *codec != arrow::kZstd) {
            return bad(fmt::format("its compression {} is not known", static_cast<int>(*codec)));
        }
        std::size_t next_buffer = 0;
        std::size_t next_variadic = 0;
        const auto take_buffer = [&]() -> std::optional<ByteView> {
            if (next_buffer >= size_of(buffers)) return std::nullopt;
            const auto place = element<arrow::Buffer>(*buffers, next_buffer++);
            const auto bytes = part_of(body, place.offset(), place.length());
            return bytes && codec ? decompressed(*codec, *bytes) : bytes;
        };
        for (std::size_t index = 0; index < columns_.size(); ++index) {
            Column& column = columns_[index];
            const auto node = element<arrow::FieldNode>(*batch.nodes(), index);
            std::uint64_t data_buffers = 1;
            if (column.is_view()) {
                if (next_variadic >= size_of(variadic)) return bad("a record batch lacks its buffers' count");
                data_buffers = element<std::uint64_t>(*variadic, next_variadic++);
            }
            const auto validity = take_buffer();
            const auto places = take_buffer();
            if (!validity || !places || data_buffers > size_of(buffers))
                return bad("a record batch cannot be right");
            column.null_count = node.null_count();
            column.validity = *validity;
            column.places = *places;
            column.data.clear();
            for (; data_buffers > 0; --data_buffers) {
                const auto data = take_buffer();
                if (!data) return bad("a record batch cannot be right");
                column.data.push_back(*data);
            }
            if (node.length() != rows || !column.has_room_for(static_cast<std::uint64_t>(rows))) {
                return bad("a record batch has fewer rows than it says");
            }
        }
        batch_rows_ = static_cast<std::uint64_t>(rows);
        return {};
    }

    // Nothing where it is not what it says.
    [[nodiscard]] std::optional<ByteView> decompressed(arrow::Codec codec, ByteView from) {
        if (from.empty()) return from;
        if (from.size() < sizeof(std::int64_t)) return std::nullopt;
        const auto bytes = read_at<std::int64_t>(from, 0);
        const ByteView rest(from.data() + sizeof bytes, from.size() - sizeof bytes);
        if (bytes == -1) return rest;  // it was left as it is
        if (bytes < 0) return std::nullopt;
        Memory memory(static_cast<std::size_t>(bytes));
        if (!decompress(codec, rest, memory)) return std::nullopt;
        decompressed_.push_back(std::move(memory));
        return decompressed_.back().bytes();
    }

    InputBuffer input_;
    std::string metadata_;  // of one message, aligned as FlatBuffers are
    std::size_t held_ = 0;  // bytes of the input that the batch lies in
    std::array<Column, 2> columns_;
    std::size_t key_ = 0;  // of the columns
    std::vector<Memory> decompressed_;
    std::uint64_t batch_rows_ = 0;
    std::uint64_t next_row_ = 0;    // of the batch
    std::uint64_t row_number_ = 0;  // returned so far
    std::vector<Pair> rows_;
    std::optional<Error> failure_;
    bool is_first_ = true;
    bool has_schema_ = false;
    bool has_ended_once_ = false;
    bool ended_ = false;
};

}  // namespace

std::unique_ptr<RowReader> read_arrow(ReadSome read) { return std::make_unique<ArrowReader>(std::move(read)); }

}  // namespace shoal::interchange
