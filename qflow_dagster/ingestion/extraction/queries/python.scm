(function_definition) @def.function
(class_definition) @def.class
(type_alias_statement) @def.type
(assignment left: [(identifier) (attribute)] right: (lambda)) @def.function
(call function: (identifier) @call)
(call function: (attribute attribute: (identifier) @call))
(import_statement) @import.import
(import_from_statement) @import.from
(future_import_statement) @import.from
(comment) @comment
(module . (comment)* . [(string) (concatenated_string) (parenthesized_expression [(string) (concatenated_string)])] @doc
  (#not-match? @doc "^\\(?\\s*[rRuU]?[fFbBtT]"))
(class_definition body: (block . [
  (string) (concatenated_string) (parenthesized_expression [(string) (concatenated_string)])] @doc
  (#not-match? @doc "^\\(?\\s*[rRuU]?[fFbBtT]")))
(function_definition body: (block . [
  (string) (concatenated_string) (parenthesized_expression [(string) (concatenated_string)])] @doc
  (#not-match? @doc "^\\(?\\s*[rRuU]?[fFbBtT]")))
(boolean_operator) @binary
