// How much memory the control groups (cgroups) of this process may still take. A container is killed when its group
// goes beyond its limit, whatever the machine has free.
//
// A group's limit holds for all groups below it, so the answer is the least over the process's group and each group
// above it that can be seen. A container may see only the part of the hierarchy that is mounted in it. What a group
// uses counts without its page cache, which the kernel takes back first. Swap counts nothing.
//
// Thread safety: every function. Header only, since the shuffle uses it too, beside the shared library.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "arena/kernel_file.hpp"

namespace shoal {

inline constexpr std::uint64_t kNoGroupLimit = std::numeric_limits<std::uint64_t>::max();

namespace group_memory {

// Cuts `text` at each `mark`. A mark at the end begins nothing.
[[nodiscard]] inline std::vector<std::string_view> parts_of(std::string_view text, char mark) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(mark), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

[[nodiscard]] inline bool has_part(std::string_view text, char mark, std::string_view wanted) {
    const auto parts = parts_of(text, mark);
    return std::find(parts.begin(), parts.end(), wanted) != parts.end();
}

// The number that begins the text; kNoGroupLimit where there is none, as for "max", or where it is too large.
[[nodiscard]] inline std::uint64_t number_of(std::string_view text) noexcept {
    std::uint64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return read.ec == std::errc() ? number : kNoGroupLimit;
}

// The number behind `name` in lines of "name number".
[[nodiscard]] inline std::uint64_t entry_of(std::string_view text, std::string_view name, std::uint64_t otherwise) {
    for (const std::string_view line : parts_of(text, '\n')) {
        if (line.size() > name.size() && line.substr(0, name.size()) == name && line[name.size()] == ' ') {
            return number_of(line.substr(name.size() + 1));
        }
    }
    return otherwise;
}

// A path in mountinfo has spaces, tabs, newlines and backslashes as three octal digits.
[[nodiscard]] inline std::string unescaped(std::string_view text) {
    std::string path;
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned code = 0;
        const char* digits = text.data() + at + 1;
        if (text[at] == '\\' && text.size() - at > 3 &&
            std::from_chars(digits, digits + 3, code, 8).ptr == digits + 3) {
            path += static_cast<char>(code);
            at += 3;
        } else {
            path += text[at];
        }
    }
    return path;
}

// What the group in this folder may still take.
[[nodiscard]] inline std::uint64_t left_in(const std::string& folder, bool is_version_2) {
    const std::string stat = text_of(folder + "/memory.stat");
    const auto number_in = [&](const char* name) { return number_of(text_of(folder + name)); };
    std::uint64_t limit = 0;
    std::uint64_t used = 0;
    if (is_version_2) {
        // Beyond memory.high the group is slowed down until the kernel has taken memory back.
        limit = std::min(number_in("/memory.max"), number_in("/memory.high"));
        used = number_in("/memory.current");
    } else {
        // The second is the least of the groups above too, seen or not.
        limit = std::min(number_in("/memory.limit_in_bytes"),
                         entry_of(stat, "hierarchical_memory_limit", kNoGroupLimit));
        used = number_in("/memory.usage_in_bytes");
    }
    if (limit == kNoGroupLimit || used == kNoGroupLimit) return limit;
    const std::string prefix = is_version_2 ? "" : "total_";  // with the groups below; version 2 counts so always
    const std::uint64_t cache =
        entry_of(stat, prefix + "inactive_file", 0) + entry_of(stat, prefix + "active_file", 0);
    used -= std::min(used, cache);
    return limit - std::min(limit, used);
}

// A mount of a hierarchy of groups.
struct Mount {
    std::string root;   // what of the hierarchy it shows
    std::string point;  // where
};

// The group `path` as seen through the mount, relative to mount.point; nothing where it does not show that group.
[[nodiscard]] inline const char* path_below(const Mount& mount, const std::string& path) noexcept {
    if (path.rfind("/..", 0) == 0) return nullptr;  // outside of this process's namespace of groups
    if (mount.root == "/") return path.c_str();
    if (path == mount.root) return "";
    return path.rfind(mount.root + "/", 0) == 0 ? path.c_str() + mount.root.size() : nullptr;
}

// What the group `path` of one hierarchy, and each group above it, may still take.
[[nodiscard]] inline std::uint64_t left_of(const std::string& root, const std::vector<Mount>& mounts,
                                           const std::string& path, bool is_version_2) {
    if (mounts.empty()) return kNoGroupLimit;
    const Mount* seen = nullptr;
    std::string below;
    for (const Mount& mount : mounts) {
        const char* found = path_below(mount, path);
        if (found == nullptr) continue;
        seen = &mount;
        below = found;
        break;
    }
    // A container without a namespace of groups: what it has mounted is its own group, whatever that is called.
    if (seen == nullptr) seen = &mounts.front();
    std::uint64_t left = kNoGroupLimit;
    while (!below.empty() && below != "/") {
        left = std::min(left, left_in(root + seen->point + below, is_version_2));
        below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
    }
    return std::min(left, left_in(root + seen->point, is_version_2));
}

}  // namespace group_memory

// Bytes that this process's groups may still take, by their limits of memory, versions 1 and 2; kNoGroupLimit where
// none is known. Cost: some files of /proc and /sys, about 0.1 ms. `root` stands before each path: a test's folder.
[[nodiscard]] inline std::uint64_t group_memory_left(const std::string& root = {}) {
    using group_memory::Mount;
    std::vector<Mount> version_1;
    std::vector<Mount> version_2;
    // "31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw": root and place are fields 3 and 4; the file
    // system's kind, source and options follow the dash.
    const std::string mounts = text_of(root + "/proc/self/mountinfo");
    for (const std::string_view line : group_memory::parts_of(mounts, '\n')) {
        const auto fields = group_memory::parts_of(line, ' ');
        const auto dash = std::find(fields.begin(), fields.end(), "-");
        if (fields.size() < 5 || fields.end() - dash < 4) continue;
        Mount mount{group_memory::unescaped(fields[3]), group_memory::unescaped(fields[4])};
        if (dash[1] == "cgroup2") version_2.push_back(std::move(mount));
        if (dash[1] == "cgroup" && group_memory::has_part(dash[3], ',', "memory"))
            version_1.push_back(std::move(mount));
    }
    std::uint64_t left = kNoGroupLimit;
    // "0::/system.slice" is version 2; "4:memory:/docker/5c" is version 1.
    const std::string groups = text_of(root + "/proc/self/cgroup");
    for (const std::string_view line : group_memory::parts_of(groups, '\n')) {
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string path(line.substr(second + 1));
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        if (line.substr(0, first) == "0" && controllers.empty()) {
            left = std::min(left, group_memory::left_of(root, version_2, path, true));
        } else if (group_memory::has_part(controllers, ',', "memory")) {
            left = std::min(left, group_memory::left_of(root, version_1, path, false));
        }
    }
    return left;
}

}  // namespace shoal
