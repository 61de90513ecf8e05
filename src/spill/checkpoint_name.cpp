#include "spill/checkpoint_name.hpp"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include <fmt/format.h>

#include "arena/system_failure.hpp"
#include "spill/checkpoint_writer.hpp"
#include "spill/sync_turns.hpp"

namespace shoal {
namespace {

constexpr std::string_view kCheckpoint = "checkpoint";

}  // namespace

std::string spill_name_prefix(const std::string& id_text) { return "shoal-" + id_text + "-"; }

std::string checkpoint_path(const std::string& folder, const std::string& id_text, std::uint64_t number) {
    const std::string path = fmt::format("{}/{}{}", folder, spill_name_prefix(id_text), kCheckpoint);
    return number == 0 ? path : fmt::format("{}-{}", path, number);
}

std::optional<CheckpointName> checkpoint_name(std::string_view name, const std::string& id_text) {
    const std::string prefix = spill_name_prefix(id_text) + std::string(kCheckpoint);
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    CheckpointName found;
    found.is_unpublished = name.ends_with(kUnpublishedEnding);
    if (found.is_unpublished) name.remove_suffix(kUnpublishedEnding.size());
    if (name.empty()) return found;
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + 1, end, found.number);
    const bool is_number = name.size() >= 2 && name[0] == '-' && name[1] != '0' && read.ec == std::errc{} &&
                           read.ptr == end && found.number <= kMostSyncNumber / 2;  // no sync comes that far
    return is_number ? std::optional(found) : std::nullopt;
}

Result<std::vector<CheckpointName>> checkpoints_in(const std::string& folder, const std::string& id_text) {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
    if (stream == nullptr) return failed("cannot look into " + folder, errno);
    std::vector<CheckpointName> all;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = ::readdir(stream.get())) {
        if (const auto name = checkpoint_name(static_cast<const char*>(entry->d_name), id_text))
            all.push_back(*name);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.number > b.number; });
    return all;
}

}  // namespace shoal
