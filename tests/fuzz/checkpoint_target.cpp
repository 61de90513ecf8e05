// The reader of checkpoints: the input as a file, as it is and with the checksums that it should have. Whatever is
// read can be written, and is read again the same.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <xxhash.h>

#include "spill/checkpoint_reader.hpp"
#include "spill/checkpoint_writer.hpp"

namespace {

using shoal::CheckpointBlock;
using shoal::CheckpointedChain;
using shoal::CheckpointHeader;
using shoal::CheckpointReader;

void require(bool holds) {
    if (!holds) std::abort();
}

const std::string& path() {
    static const std::string made = "/dev/shm/shoal-fuzz-checkpoint-" + std::to_string(::getpid());
    return made;
}

void write_file(const std::string& bytes) {
    std::FILE* file = std::fopen(path().c_str(), "wb");
    require(file != nullptr);
    require(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
    require(std::fclose(file) == 0);
}

// As the input says of itself; else nothing could be read.
shoal::SpillStoreId store_of(const std::string& bytes) {
    shoal::SpillStoreId id{};
    constexpr std::size_t kAt = offsetof(CheckpointHeader, store_id);
    if (bytes.size() >= kAt + id.size()) std::memcpy(id.data(), bytes.data() + kAt, id.size());
    return id;
}

std::vector<CheckpointedChain> chains_of(CheckpointReader& reader, bool* whole) {
    std::vector<CheckpointedChain> chains;
    for (;;) {
        CheckpointedChain chain;
        const auto next = reader.next(chain);
        *whole = next.has_value();
        if (!next || !*next) return chains;
        require(!chain.segments.empty() && chain.key.size() <= shoal::kMaxKeyBytes);
        chains.push_back(std::move(chain));
    }
}

bool same(const CheckpointedChain& one, const CheckpointedChain& other) {
    const std::size_t bytes = one.segments.size() * sizeof(shoal::CheckpointSegment);
    return one.hash == other.hash && one.identity == other.identity && one.key == other.key &&
           one.segments.size() == other.segments.size() &&
           std::memcmp(one.segments.data(), other.segments.data(), bytes) == 0;
}

void read_all(const std::string& bytes) {
    write_file(bytes);
    const shoal::SpillStoreId store_id = store_of(bytes);
    auto reader = CheckpointReader::open(path(), store_id);
    if (!reader) return;
    bool whole = false;
    const std::vector<CheckpointedChain> chains = chains_of(*reader, &whole);
    if (!whole) return;
    shoal::CheckpointWriter writer(path());
    require(writer.begin({}).has_value());
    for (const CheckpointedChain& chain : chains) writer.add(chain.hash, chain.identity, chain.key, chain.segments);
    CheckpointHeader header{};
    header.store_id = store_id;
    require(writer.finish(header).has_value());
    writer.keep();
    require(shoal::name_checkpoint(path()) == 0);
    auto again = CheckpointReader::open(path(), store_id);
    require(again.has_value());
    const std::vector<CheckpointedChain> same_chains = chains_of(*again, &whole);
    require(whole && same_chains.size() == chains.size());
    for (std::size_t at = 0; at < chains.size(); ++at) require(same(chains[at], same_chains[at]));
}

// The last bytes as the tail of a base; of a delta they would need a second file.
void write_tail(std::string& bytes) {
    shoal::CheckpointTail tail{};
    char* const at = bytes.data() + bytes.size() - sizeof tail;
    std::memcpy(&tail, at, sizeof tail);
    tail.magic = shoal::kCheckpointTailMagic;
    tail.before = tail.deltas = tail.freed = 0;
    tail.freed_checksum = XXH3_64bits(nullptr, 0);
    constexpr std::size_t kFrom = offsetof(shoal::CheckpointTail, before);
    tail.checksum = XXH3_64bits(reinterpret_cast<const char*>(&tail) + kFrom, sizeof tail - kFrom);
    std::memcpy(at, &tail, sizeof tail);
}

// As of version 1, or of the newest.
std::string with_checksums(std::string bytes, bool has_tail) {
    const std::size_t behind = has_tail ? sizeof(shoal::CheckpointTail) : 0;
    if (bytes.size() < sizeof(CheckpointHeader) + behind) return bytes;
    if (has_tail) write_tail(bytes);
    const std::size_t end = bytes.size() - behind;
    CheckpointHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.magic = has_tail ? shoal::kNewestCheckpointMagic : shoal::kCheckpointMagic;
    header.body_bytes = end - sizeof header;
    header.blocks = 0;
    for (std::size_t at = sizeof header; end - at >= sizeof(CheckpointBlock); ++header.blocks) {
        CheckpointBlock block{};
        std::memcpy(&block, bytes.data() + at, sizeof block);
        block.magic = shoal::kCheckpointBlockMagic;
        block.number = header.blocks;
        block.bytes = std::min<std::uint64_t>(block.bytes, end - at - sizeof block);
        std::memcpy(bytes.data() + at, &block, sizeof block);
        constexpr std::size_t kFrom = offsetof(CheckpointBlock, number);
        block.checksum = XXH3_64bits(bytes.data() + at + kFrom, sizeof block + block.bytes - kFrom);
        std::memcpy(bytes.data() + at, &block, sizeof block);
        at += sizeof block + block.bytes;
    }
    constexpr std::size_t kFrom = offsetof(CheckpointHeader, store_id);
    header.checksum = XXH3_64bits(reinterpret_cast<const char*>(&header) + kFrom, sizeof header - kFrom);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(reinterpret_cast<const char*>(data), size);
    read_all(bytes);
    read_all(with_checksums(bytes, false));
    read_all(with_checksums(bytes, true));
    ::unlink(path().c_str());
    return 0;
}
