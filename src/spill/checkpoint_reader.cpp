#include "spill/checkpoint_reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace shoal {
namespace {

// By the name; 0 where that has none.
std::uint64_t number_in(const std::string& path, std::size_t at) {
    std::uint64_t number = 0;
    static_cast<void>(std::from_chars(path.data() + at, path.data() + path.size(), number));
    return number;
}

tl::unexpected<Error> damaged(const std::string& path, const std::string& what) {
    return tl::unexpected(Error{Code::kDamaged, fmt::format("checkpoint {} is damaged: {}", path, what)});
}

}  // namespace

Result<CheckpointReader> CheckpointReader::open(const std::string& path, const SpillStoreId& store_id,
                                                const Check& check, std::uint64_t number) {
    CheckpointReader reader;
    reader.number_ = number;
    const std::size_t digits = path.find_last_not_of("0123456789") + 1;
    std::string at = path;
    for (std::uint64_t left = kMostDeltas;; --left) {
        auto file = CheckpointFile::open(at, store_id, check);
        // Files that were replaced are removed from the newest on: where that is there yet, this one was lost.
        if (!file && file.error().code == Code::kNotFound && at != path && ::access(path.c_str(), F_OK) == 0)
            return damaged(path, fmt::format("it has what changed since {}, which is not there", at));
        if (!file) return tl::unexpected(std::move(file.error()));
        const CheckpointTail tail = (*file)->tail();
        if (at != path && tail.deltas != left) return damaged(at, "it is not the one that the next goes on from");
        if (tail.deltas > kMostDeltas || tail.before >= std::max<std::uint64_t>(number_in(at, digits), 1))
            return damaged(at, fmt::format("it cannot go on from checkpoint {}", tail.before));
        left = tail.deltas;
        reader.numbers_.push_back(number_in(at, digits));
        reader.files_.push_back(std::move(*file));
        if (tail.before == 0) return reader;
        at = path.substr(0, digits) + std::to_string(tail.before);
    }
}

void CheckpointReader::on_block(std::function<bool(std::uint64_t bytes)> step) {
    const auto read = [step = std::move(step), all = std::make_shared<std::uint64_t>(0)](std::uint64_t bytes) {
        return step(*all += bytes);
    };
    for (const auto& file : files_) file->on_block(read);
}

std::uint64_t CheckpointReader::bytes() const noexcept {
    std::uint64_t bytes = 0;
    for (const auto& file : files_) bytes += sizeof(CheckpointHeader) + file->header().body_bytes;
    return bytes;
}

Result<bool> CheckpointReader::next(CheckpointedChain& chain) {
    for (;;) {
        CheckpointFile* from = nullptr;
        std::uint64_t least = 0;
        for (const auto& file : files_) {
            const auto hash = file->peek();
            if (!hash) return tl::unexpected(hash.error());
            if (!*hash || (from != nullptr && **hash > least)) continue;
            if (from != nullptr && **hash == least) {  // a newer file has said all of that hash
                if (auto passed = file->pass(least); !passed) return tl::unexpected(std::move(passed.error()));
                continue;
            }
            from = file.get();
            least = **hash;
        }
        if (from == nullptr) return false;
        if (auto taken = from->take(chain); !taken) return tl::unexpected(std::move(taken.error()));
        if (!chain.segments.empty()) return true;
    }
}

Result<void> CheckpointReader::skip_to(std::uint64_t hash) {
    for (const auto& file : files_) {
        if (auto skipped = file->skip_to(hash); !skipped) return skipped;
    }
    return {};
}

}  // namespace shoal
