// A store that is only read (Options::read_only): without a slot, a write to the arena, or a file made.
//
//   a living arena    is mapped for reading alone, and read in glances (arena/glance.hpp): a read whose memory may
//                     have been freed meanwhile is made anew
//   no arena          the checkpoint becomes an arena of this process's own, in memory, which is read as any store
//
// Thread safety: every function. A crash leaves nothing, and a process that is stopped anywhere holds nothing back.
// After a fork both processes may use the object.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <shoal/store.hpp>

#include "store/directory.hpp"
#include "store/impl.hpp"

namespace shoal {

// As the functions of Store of the same names.
class StoreReader {
public:
    virtual ~StoreReader() = default;
    [[nodiscard]] virtual Result<Bytes> get(ByteView key) = 0;
    [[nodiscard]] virtual std::vector<Result<Bytes>> get(std::span<const ByteView> keys) = 0;
    [[nodiscard]] virtual Result<std::size_t> get_into(ByteView key, std::span<std::byte> buffer) = 0;
    [[nodiscard]] virtual Result<View> view(ByteView key) = 0;
    [[nodiscard]] virtual Result<Records> records(ByteView key) = 0;
    [[nodiscard]] virtual Result<void> records(ByteView key, std::size_t part_bytes,
                                               const std::function<bool(const Records&)>& take) = 0;
    [[nodiscard]] virtual Result<ValueSize> size(ByteView key) = 0;
    [[nodiscard]] virtual Result<bool> contains(ByteView key) = 0;
    [[nodiscard]] virtual Result<bool> next_keys(KeyCursor& cursor) = 0;
    [[nodiscard]] virtual Result<void> for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) = 0;
    [[nodiscard]] virtual Result<std::vector<Bytes>> keys() = 0;
    [[nodiscard]] virtual Result<Stats> stats() = 0;
};

// Of what was opened with Options::read_only. Of `options` room_wait_ms, wait_hooks and page_cache count.
[[nodiscard]] std::shared_ptr<StoreReader> make_reader(OpenedArena&& opened, const Options& options);

// kInvalidArgument: the key is too long.
[[nodiscard]] Result<void> check_key(ByteView key);

}  // namespace shoal
