// Paths in a store's files: relative where they lead into the store's directory, so that they hold wherever that is
// moved to.
//
// Thread safety: every function.
#pragma once

#include <string>

namespace shoal {

// Folder or file `target`, absolute, as a file of the store in the directory `path` names it: "." or "./…" where it
// is that or below it.
[[nodiscard]] inline std::string seen_from(const std::string& path, const std::string& target) {
    if (target == path) return ".";
    const std::string prefix = path.ends_with('/') ? path : path + "/";
    return target.starts_with(prefix) ? "./" + target.substr(prefix.size()) : target;
}

// The inverse.
[[nodiscard]] inline std::string from_there(const std::string& path, const std::string& seen) {
    if (seen == ".") return path;
    if (!seen.starts_with("./")) return seen;
    return path + (path.ends_with('/') ? "" : "/") + seen.substr(2);
}

}  // namespace shoal
