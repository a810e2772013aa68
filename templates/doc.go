// Package templates embeds the pages. Each page is one file that fills the
// blocks of layout.html; broker/web/page parses and renders them.
package templates
