// What codecs cost, each way, in pieces of 1 MiB of text that lz4 halves; their limit is memcpy, and the checksum
// that every spilled byte goes through stands beside them. Also what it takes to make an extent of records. One
// thread.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <xxhash.h>

#include "codec/codec.hpp"
#include "spill/extent.hpp"
#include "spill/extent_builder.hpp"
#include "workload.hpp"

namespace {

constexpr std::size_t kPieceBytes = 1 << 20;
constexpr std::size_t kPieces = 16;  // more than the caches of one core hold

// Words of 3 to 13 letters; of 2,048 different ones, the first come most often.
std::string make_text(std::size_t bytes) {
    bench::Random random(1);
    std::vector<std::string> words(2048);
    for (std::string& word : words) {
        for (std::uint32_t letters = 3 + random.below(11); letters != 0; --letters)
            word += static_cast<char>('a' + random.below(26));
    }
    std::string text;
    while (text.size() < bytes) text += words[random.below(1 + random.below(2048))] + ' ';
    text.resize(bytes);
    return text;
}

shoal::ByteView piece_of_text(std::size_t number) {
    static const std::string text = make_text(kPieces * kPieceBytes);
    return {text.data() + number % kPieces * kPieceBytes, kPieceBytes};
}

void count_bytes(benchmark::State& state) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kPieceBytes));
}

void memory_copy(benchmark::State& state) {
    std::vector<std::byte> out(kPieceBytes);
    std::size_t number = 0;
    for (auto _ : state) {
        std::memcpy(out.data(), piece_of_text(number++).data(), kPieceBytes);
        benchmark::ClobberMemory();
    }
    count_bytes(state);
}
BENCHMARK(memory_copy)->Unit(benchmark::kMicrosecond);

void checksum(benchmark::State& state) {
    std::size_t number = 0;
    for (auto _ : state) benchmark::DoNotOptimize(XXH3_64bits(piece_of_text(number++).data(), kPieceBytes));
    count_bytes(state);
}
BENCHMARK(checksum)->Unit(benchmark::kMicrosecond);

void compress(benchmark::State& state, const char* name) {
    const shoal::Codec codec = shoal::parse_codec(name).value();
    shoal::Compressor compressor;
    std::vector<std::byte> out(kPieceBytes);
    std::size_t number = 0;
    std::size_t stored = 0;
    for (auto _ : state) stored += compressor.compress(codec, piece_of_text(number++), out);
    if (stored == 0) state.SkipWithError("it gains less than a tenth");
    count_bytes(state);
    state.counters["ratio"] = static_cast<double>(number * kPieceBytes) / static_cast<double>(stored);
}

void decompress(benchmark::State& state, const char* name) {
    const shoal::Codec codec = shoal::parse_codec(name).value();
    shoal::Compressor compressor;
    shoal::Decompressor decompressor;
    std::vector<std::vector<std::byte>> stored(kPieces, std::vector<std::byte>(kPieceBytes));
    for (std::size_t number = 0; number < kPieces; ++number)
        stored[number].resize(compressor.compress(codec, piece_of_text(number), stored[number]));
    std::vector<std::byte> out(kPieceBytes);
    std::size_t number = 0;
    for (auto _ : state) {
        if (!decompressor.decompress(codec.id, stored[number++ % kPieces], out)) state.SkipWithError("not read");
    }
    count_bytes(state);
}

BENCHMARK_CAPTURE(compress, lz4, "lz4")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, zstd_minus_5, "zstd:-5")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, zstd_1, "zstd:1")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, zstd_3, "zstd:3")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, zstd_9, "zstd:9")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decompress, lz4, "lz4")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decompress, zstd_1, "zstd:1")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(decompress, zstd_9, "zstd:9")->Unit(benchmark::kMicrosecond);

// Bytes that no codec makes smaller: how soon that is noticed.
void give_up(benchmark::State& state, const char* name) {
    const shoal::Codec codec = shoal::parse_codec(name).value();
    shoal::Compressor compressor;
    bench::Random random(1);
    std::vector<std::uint64_t> noise(kPieceBytes / 8);
    for (std::uint64_t& word : noise) word = random.next();
    std::vector<std::byte> out(kPieceBytes);
    for (auto _ : state) {
        if (compressor.compress(codec, {noise.data(), kPieceBytes}, out) != 0) state.SkipWithError("it shrank");
    }
    count_bytes(state);
}
BENCHMARK_CAPTURE(give_up, lz4, "lz4")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(give_up, zstd_3, "zstd:3")->Unit(benchmark::kMicrosecond);

// Numbers of 8 bytes that grow slowly, as blosc likes them.
void compress_numbers(benchmark::State& state, const char* name) {
    const shoal::Codec codec = shoal::parse_codec(name).value();
    shoal::Compressor compressor;
    bench::Random random(1);
    std::vector<std::uint64_t> numbers(kPieceBytes / 8);
    for (std::size_t at = 1; at < numbers.size(); ++at) numbers[at] = numbers[at - 1] + random.below(1000);
    std::vector<std::byte> out(kPieceBytes);
    std::size_t stored = 0;
    for (auto _ : state) stored = compressor.compress(codec, {numbers.data(), kPieceBytes}, out);
    if (stored == 0) state.SkipWithError("it gains less than a tenth");
    count_bytes(state);
    state.counters["ratio"] = static_cast<double>(kPieceBytes) / static_cast<double>(stored);
}
BENCHMARK_CAPTURE(compress_numbers, lz4, "lz4")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress_numbers, zstd_3, "zstd:3")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress_numbers, blosc_byte_lz4, "blosc:8")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress_numbers, blosc_byte_blosclz, "blosc:type_size=8,inner=blosclz")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress_numbers, blosc_bit_lz4, "blosc:type_size=8,shuffle=bit")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress_numbers, blosc_bit_zstd, "blosc:type_size=8,shuffle=bit,inner=zstd")
    ->Unit(benchmark::kMicrosecond);

// An extent of 1 MiB in records of one length, which lie apart as frames do; copied and summed up. With `odd`,
// lengths differ and are listed.
void add_records(shoal::ExtentBuilder& builder, shoal::ByteView piece, const benchmark::State& state) {
    const auto stride = static_cast<std::size_t>(state.range(0));
    const bool odd = state.range(1) != 0;
    builder.begin({{}, "key-00000042", 1, 0});
    builder.begin_segment();
    for (std::size_t at = 0; at + stride <= kPieceBytes; at += stride)
        builder.add({piece.data() + at, stride - 8 - (odd ? at / stride % 2 : 0)});
}

void make_extent(benchmark::State& state) {
    shoal::ExtentBuilder builder;
    shoal::Compressor compressor;
    std::vector<std::byte> out(2 * kPieceBytes);
    std::size_t number = 0;
    for (auto _ : state) {
        add_records(builder, piece_of_text(number++), state);
        benchmark::DoNotOptimize(builder.finish({}, compressor, out));
    }
    count_bytes(state);
}
BENCHMARK(make_extent)
    ->ArgNames({"stride", "odd"})
    ->Args({64, 0})
    ->Args({64, 1})
    ->Args({1024, 0})
    ->Args({65536, 0})
    ->Unit(benchmark::kMicrosecond);

// Checks all of it and goes over the records' lengths, as they lie in the cache.
void read_extent(benchmark::State& state) {
    shoal::ExtentBuilder builder;
    shoal::Compressor compressor;
    add_records(builder, piece_of_text(0), state);
    std::vector<std::byte> bytes(builder.bytes_needed());
    builder.finish({}, compressor, bytes);
    for (auto _ : state) {
        const auto view = shoal::parse_extent(bytes);
        if (!view) return state.SkipWithError(view.error().message.c_str());
        const shoal::ExtentHeader& header = view->header();
        const shoal::ByteView stored(bytes.data() + shoal::prefix_bytes(header), header.stored_bytes);
        if (!shoal::check_stored(header, stored)) state.SkipWithError("not read");
        const shoal::ExtentPiece piece = *view->piece(0);
        shoal::RecordLengths lengths = view->lengths(piece);
        std::uint64_t sum = 0;
        for (std::uint32_t record = 0; record < piece.records; ++record) sum += lengths.next();
        if (sum != header.payload_bytes) state.SkipWithError("lengths are lost");
    }
    count_bytes(state);
}
BENCHMARK(read_extent)
    ->ArgNames({"stride", "odd"})
    ->Args({64, 0})
    ->Args({64, 1})
    ->Args({1024, 1})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
