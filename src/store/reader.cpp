#include "store/reader.hpp"

#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "store/live_reader.hpp"

namespace shoal {
namespace {

// Of an arena of this process's own, which a checkpoint was made into.
class RestoredReader final : public StoreReader {
public:
    RestoredReader(OpenedArena&& opened, const Options& options)
        : path_(opened.path),
          checkpoint_path_(opened.checkpoint_path),
          store_(std::make_shared<StoreImpl>(std::move(opened), options)) {}

    [[nodiscard]] Result<Bytes> get(ByteView key) override {
        return told(by_key(key, [&](const KeyRef& ref) { return store_->get(ref); }));
    }
    [[nodiscard]] std::vector<Result<Bytes>> get(std::span<const ByteView> keys) override {
        auto values = store_->get(keys);
        for (auto& value : values) value = told(std::move(value));
        return values;
    }
    [[nodiscard]] Result<std::size_t> get_into(ByteView key, std::span<std::byte> buffer) override {
        return told(by_key(key, [&](const KeyRef& ref) { return store_->get_into(ref, buffer); }));
    }
    [[nodiscard]] Result<View> view(ByteView key) override {
        return told(by_key(key, [&](const KeyRef& ref) { return store_->view(ref); }));
    }
    [[nodiscard]] Result<Records> records(ByteView key) override {
        return told(by_key(key, [&](const KeyRef& ref) { return store_->records(ref); }));
    }
    [[nodiscard]] Result<void> records(ByteView key, std::size_t part_bytes,
                                       const std::function<bool(const Records&)>& take) override {
        return told(by_key(key, [&](const KeyRef& ref) { return store_->records(ref, part_bytes, take); }));
    }
    [[nodiscard]] Result<ValueSize> size(ByteView key) override {
        return by_key(key, [&](const KeyRef& ref) { return store_->size(ref); });
    }
    [[nodiscard]] Result<bool> contains(ByteView key) override {
        return by_key(key, [&](const KeyRef& ref) { return store_->contains(ref); });
    }
    [[nodiscard]] Result<bool> next_keys(KeyCursor& cursor) override { return store_->next_keys(cursor); }
    [[nodiscard]] Result<void> for_each_key(ByteView prefix, const std::function<bool(ByteView)>& take) override {
        return store_->for_each_key(prefix, take);
    }
    [[nodiscard]] Result<std::vector<Bytes>> keys() override { return store_->keys(); }
    [[nodiscard]] Result<Stats> stats() override { return store_->stats(); }

private:
    template <class Use>
    auto by_key(ByteView key, Use&& use) -> decltype(use(std::declval<const KeyRef&>())) {
        auto ref = store_->key_ref(key);
        if (!ref) return tl::unexpected(std::move(ref.error()));
        return use(*ref);
    }

    // Where the store was opened and synced since, the room of what its checkpoint named may be another's.
    template <class T>
    [[nodiscard]] Result<T> told(Result<T>&& result) const {
        const bool of_files =
            !result && (result.error().code == Code::kDamaged || result.error().system_errno != 0);
        if (!of_files || ::access(checkpoint_path_.c_str(), F_OK) == 0) return result;
        return tl::unexpected(Error{
            Code::kArenaGone,
            fmt::format("the store {} was opened and synced since this process read its checkpoint, and part of "
                        "what that named is gone: open it again",
                        path_),
            ESTALE, 0});
    }

    std::string path_;
    std::string checkpoint_path_;
    std::shared_ptr<StoreImpl> store_;
};

}  // namespace

Result<void> check_key(ByteView key) {
    if (key.size() <= kMaxKeyBytes) return {};
    return tl::unexpected(
        Error{Code::kInvalidArgument, fmt::format("the key has {} bytes; up to {} go", key.size(), kMaxKeyBytes)});
}

std::shared_ptr<StoreReader> make_reader(OpenedArena&& opened, const Options& options) {
    if (opened.mapping.is_read_only()) return std::make_shared<LiveReader>(std::move(opened), options);
    Options alone = options;
    alone.spill_thread = false;
    alone.durable = false;
    return std::make_shared<RestoredReader>(std::move(opened), alone);
}

}  // namespace shoal
