(function_definition) @def.function
(function_declaration) @def.function
(val_definition pattern: (identifier) value: (lambda_expression)) @def.function
(class_definition) @def.class
(object_definition) @def.object
(package_object) @def.object
(trait_definition) @def.trait
(enum_definition) @def.enum
(type_definition) @def.type
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (identifier) @call))
(instance_expression (type_identifier) @call)
(import_declaration) @import.import
(package_clause name: (package_identifier) @namespace)
(comment) @comment
(block_comment) @comment
(infix_expression) @binary
