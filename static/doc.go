// Package static embeds the style sheet, the script and the images, and serves
// them under names that carry a hash of their content, so that a browser may
// keep them for ever.
package static
