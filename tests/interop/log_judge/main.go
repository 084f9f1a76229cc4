// Command log_judge holds a transparency log, served or copied, against Go's own packages for signed notes and
// tile logs (golang.org/x/mod/sumdb/note and tlog), which know nothing of the program that wrote the log.
//
//	log_judge mirror URL DIRECTORY            copies checkpoint, key, tiles and entries
//	log_judge verify LOG KEY [EARLIER ...]    LOG is a URL or a directory, EARLIER files with older checkpoints
//	log_judge record KEY ENTRY PROOF          an entry and its C2SP tlog-proof
//	log_judge growth KEY EARLIER LATER PROOF  two checkpoints, and the hashes between them, one a line
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is what C2SP tlog-tiles fixes: 256 hashes a tile.
const tileHeight = 8

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "log_judge:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "mirror":
		return mirror(source(arguments[1]), arguments[2])
	case len(arguments) >= 3 && arguments[0] == "verify":
		return verify(source(arguments[1]), arguments[2], arguments[3:])
	case len(arguments) == 4 && arguments[0] == "record":
		return record(arguments[1], arguments[2], arguments[3])
	case len(arguments) == 5 && arguments[0] == "growth":
		return growth(arguments[1], arguments[2], arguments[3], arguments[4])
	}
	return errors.New("what is asked does not read")
}

// source is where a log lies: a URL or a directory.
type source string

func (log source) read(path string) ([]byte, error) {
	if !strings.HasPrefix(string(log), "http://") {
		return os.ReadFile(filepath.Join(string(log), path))
	}
	response, err := http.Get(string(log) + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(response.Body)
}

// tilePath is the path of C2SP tlog-tiles, which leaves out the height and says entries where Go says data.
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// bundles lists the entry bundles of a tree.
func bundles(size int64) []tlog.Tile {
	var list []tlog.Tile
	for n := int64(0); n<<tileHeight < size; n++ {
		width := min(size-n<<tileHeight, 1<<tileHeight)
		list = append(list, tlog.Tile{H: tileHeight, L: -1, N: n, W: int(width)})
	}
	return list
}

// checkpoint is a tree that somebody signed.
type checkpoint struct {
	size int64
	root tlog.Hash
}

// open verifies a checkpoint's signature and reads it (C2SP tlog-checkpoint).
func open(signed []byte, key string) (checkpoint, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return checkpoint{}, fmt.Errorf("the key: %w", err)
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, fmt.Errorf("the checkpoint: %w", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("the checkpoint is not origin, size and root: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return checkpoint{}, fmt.Errorf("%q is no size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return checkpoint{}, fmt.Errorf("%q is no root: %w", lines[2], err)
	}
	return checkpoint{size, root}, nil
}

func openFile(path, key string) (checkpoint, error) {
	signed, err := os.ReadFile(path)
	if err != nil {
		return checkpoint{}, err
	}
	return open(signed, key)
}

// mirror copies a log as its own checkpoint says it is.
func mirror(log source, directory string) error {
	key, err := log.read("key")
	if err != nil {
		return err
	}
	signed, err := log.read("checkpoint")
	if err != nil {
		return err
	}
	signedTree, err := open(signed, string(key))
	if err != nil {
		return err
	}
	files := map[string][]byte{"key": key, "checkpoint": signed}
	for _, tile := range append(tlog.NewTiles(tileHeight, 0, signedTree.size), bundles(signedTree.size)...) {
		if files[tilePath(tile)], err = log.read(tilePath(tile)); err != nil {
			return err
		}
	}
	for path, content := range files {
		path = filepath.Join(directory, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("mirrored %d files of %d events\n", len(files), signedTree.size)
	return nil
}

// verify holds everything a log serves against everything else it serves, and against what was signed before.
func verify(log source, key string, earlier []string) error {
	// 1. The signature, by a key that came another way.
	served, err := log.read("key")
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(served)) != strings.TrimSpace(key) {
		return fmt.Errorf("the log serves another key: %s", served)
	}
	signed, err := log.read("checkpoint")
	if err != nil {
		return err
	}
	signedTree, err := open(signed, key)
	if err != nil {
		return err
	}

	// 2. The root, from nothing but the entries.
	var leaves, stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(stored)) {
				return nil, fmt.Errorf("hash %d of %d was asked for", index, len(stored))
			}
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for _, bundle := range bundles(signedTree.size) {
		entries, err := readBundle(log, bundle)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			hashes, err := tlog.StoredHashes(int64(len(leaves)), entry, reader)
			if err != nil {
				return err
			}
			leaves = append(leaves, tlog.RecordHash(entry))
			stored = append(stored, hashes...)
		}
	}
	root, err := tlog.TreeHash(signedTree.size, reader)
	if err != nil {
		return err
	}
	if root != signedTree.root {
		return fmt.Errorf("the entries have the root %v, and %v is signed", root, signedTree.root)
	}

	// 3. The tiles, each up to the signed root, and each what the entries make it.
	tree := tlog.Tree{N: signedTree.size, Hash: signedTree.root}
	tiles := &tileReader{log: log, read: map[tlog.Tile][]byte{}}
	fromTiles := tlog.TileHashReader(tree, tiles)
	indexes := make([]int64, len(leaves))
	for n := range leaves {
		indexes[n] = tlog.StoredHashIndex(0, int64(n))
	}
	hashes, err := fromTiles.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("the tiles: %w", err)
	}
	for n, hash := range hashes {
		if hash != leaves[n] {
			return fmt.Errorf("the tiles have another hash of entry %d than it has", n)
		}
	}
	all := tlog.NewTiles(tileHeight, 0, signedTree.size)
	for _, tile := range all {
		content, err := log.read(tilePath(tile))
		if err != nil {
			return err
		}
		made, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return err
		}
		if !bytes.Equal(content, made) {
			return fmt.Errorf("%s is not what the entries make it", tilePath(tile))
		}
	}

	// 4. The proof of every entry that the tiles give.
	for n, leaf := range leaves {
		proof, err := tlog.ProveRecord(signedTree.size, int64(n), fromTiles)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, signedTree.size, signedTree.root, int64(n), leaf); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
	}

	// 5. That it grew out of what was signed before.
	for _, path := range earlier {
		before, err := openFile(path, key)
		if err != nil {
			return err
		}
		if before.size > signedTree.size {
			return fmt.Errorf("the log had %d entries and has %d", before.size, signedTree.size)
		}
		proof, err := tlog.ProveTree(signedTree.size, before.size, fromTiles)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, signedTree.size, signedTree.root, before.size, before.root); err != nil {
			return fmt.Errorf("from %d to %d entries: %w", before.size, signedTree.size, err)
		}
	}
	fmt.Printf("{\"size\":%d,\"tiles\":%d,\"grown_from\":%d}\n", signedTree.size, len(all), len(earlier))
	return nil
}

// readBundle reads entries, each behind its length in two bytes (C2SP tlog-tiles).
func readBundle(log source, bundle tlog.Tile) ([][]byte, error) {
	rest, err := log.read(tilePath(bundle))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s ends within an entry", tilePath(bundle))
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries = append(entries, rest[2:end])
		rest = rest[end:]
	}
	if len(entries) != bundle.W {
		return nil, fmt.Errorf("%s has %d entries", tilePath(bundle), len(entries))
	}
	return entries, nil
}

// tileReader gives Go's verifier the tiles it asks for.
type tileReader struct {
	log  source
	read map[tlog.Tile][]byte
}

func (tiles *tileReader) Height() int { return tileHeight }

func (tiles *tileReader) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, len(wanted))
	for i, tile := range wanted {
		if _, read := tiles.read[tile]; !read {
			content, err := tiles.log.read(tilePath(tile))
			if err != nil {
				return nil, err
			}
			tiles.read[tile] = content
		}
		contents[i] = tiles.read[tile]
	}
	return contents, nil
}

// SaveTiles is told of tiles that verified; they are kept already.
func (tiles *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// record checks an entry against a proof that names the tree it is in (C2SP tlog-proof).
func record(key, entryFile, proofFile string) error {
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	head, signed, found := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("the proof does not read")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	proof, err := parseHashes(lines[2:])
	if err != nil {
		return err
	}
	signedTree, err := open([]byte(signed), key)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, signedTree.size, signedTree.root, index, tlog.RecordHash(entry))
}

// growth checks a proof that one signed tree is the beginning of another (RFC 6962 §2.1.2).
func growth(key, earlierFile, laterFile, proofFile string) error {
	earlier, err := openFile(earlierFile, key)
	if err != nil {
		return err
	}
	later, err := openFile(laterFile, key)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	proof, err := parseHashes(strings.Fields(string(text)))
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, later.size, later.root, earlier.size, earlier.root)
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		content, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(content) != len(hashes[i]) {
			return nil, fmt.Errorf("%q is no hash", line)
		}
		copy(hashes[i][:], content)
	}
	return hashes, nil
}
